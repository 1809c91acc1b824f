# docker build -t agentlab . && docker run --rm -v "$PWD/runs:/work/runs" agentlab
FROM python:3.13-slim

COPY . /agentlab
RUN cd /agentlab && pip install --no-cache-dir .

# Runs are written to /work/runs; the arguments of `docker run` are those of agentlab.
WORKDIR /work
ENTRYPOINT ["agentlab"]
CMD ["run", "dqn-cartpole"]
