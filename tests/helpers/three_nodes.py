"""Makes a small sweep on a Ray cluster of three nodes of this machine, one of which is lost on the way; prints what happened.

python tests/helpers/three_nodes.py FOLDER      which holds sweep.toml
"""

import contextlib
import json
import os
import pathlib
import signal
import sys
import threading
import time

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - else runs get what other programs of the machine leave

from ray.cluster_utils import Cluster

import agentlab


def stopped_on(folder, nodes):
    """Stops a run on one of the nodes that has a checkpoint; returns its directory, its process and the node."""
    for file in folder.glob("sweep/runs/*/*/provenance.json"):
        with contextlib.suppress(ValueError, OSError):  # it is being written, or its process has just ended
            session = json.loads(file.read_text())["sessions"][-1]
            node = session["job"].get("RAY_NODE_ID")
            if session["status"] == "running" and node in nodes and list(file.parent.glob("checkpoints/step-*")):
                os.kill(session["process"], signal.SIGSTOP)  # so that it doesn't end before the node is lost
                return file.parent, session["process"], node
    return None


def main(folder):
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = {node.node_id: node for node in (cluster.add_node(num_cpus=1) for _ in range(2))}
    report = {"nodes": list(nodes)}

    def lose_a_node():
        while (place := stopped_on(folder, nodes)) is None:
            time.sleep(0.02)
        directory, process, report["lost"] = place
        cluster.remove_node(nodes[report["lost"]], allow_graceful=False)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)  # a node is lost with its processes
        report["directory"] = str(directory)

    thread = threading.Thread(target=lose_a_node, daemon=True)
    thread.start()
    result = agentlab.sweep(folder / "sweep.toml", sweep_dir=folder / "sweep", engine="ray", address=cluster.address)
    thread.join(10)
    report["scores"] = sum(len(trial.scores) for trial in result.trials)
    sessions = json.loads((pathlib.Path(report["directory"]) / "provenance.json").read_text())["sessions"]
    report["attempts"] = len(sessions)
    cluster.shutdown()
    print(json.dumps(report))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
