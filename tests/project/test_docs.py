"""The pages of docs/ do what they say: every block of Python runs, warnings being errors, and links lead somewhere."""

import ast
import importlib
import re
import runpy
import tomllib

import nbclient
import nbformat
import pytest

import preloaded
from agentlab.registry import plugins
from agentlab.system import source_text
from paths import ROOT

DOCS = ROOT / "docs"
PAGES = {path.name: path.read_text("utf-8") for path in sorted(DOCS.glob("*.md"))}
EXECUTED_ELSEWHERE = {"supervised.md"}  # tests/plugins/supervised/test_supervised_docs.py looks at its figures too


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if blocks(text) and name not in EXECUTED_ELSEWHERE])
def test_the_python_of_a_page_runs(tmp_path, page):
    script = tmp_path / page.replace(".md", ".py")
    script.write_text("\n\n".join(blocks(PAGES[page])), "utf-8")
    code, _, message = preloaded.run(script, tmp_path)
    assert code == 0, message


@pytest.mark.slow
def test_the_notebook_runs_in_a_kernel(tmp_path, monkeypatch):
    """As Jupyter runs it: a process of its own, cell by cell, with the bar of progress that a notebook shows."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    notebook = nbformat.read(DOCS.parent / "examples" / "embedding.ipynb", as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import warnings; warnings.simplefilter('error')"))
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    cells = [cell for cell in notebook.cells[1:] if cell.cell_type == "code"]
    outputs = ["".join(output.get("text", "") for output in cell.outputs if output.output_type == "stream") for cell in cells]
    assert len(cells) >= 3
    assert "100%" in outputs[0]
    assert "step/s" in outputs[0]
    assert "return=" in outputs[0]
    (result,) = [output.data["text/plain"] for output in cells[0].outputs if output.output_type == "execute_result"]
    assert result.startswith("[(16000, ")
    assert "Did you mean 'discount'?" in outputs[-1]
    assert "Warning" not in "".join(outputs)


@pytest.mark.slow
def test_the_notebook_on_text_by_reward_learns(tmp_path):
    """A tenth of its updates already raises the share of right answers; without XLA, as that takes longer to compile."""
    notebook = nbformat.read(DOCS.parent / "examples" / "text_by_reward.ipynb", as_version=4)
    nbformat.validate(notebook)
    source = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    script = tmp_path / "notebook.py"
    source = source.replace("num_updates = 300", "num_updates = 30").replace("small = {", 'small = {"execution": "graph", ')
    script.write_text(source, "utf-8")
    code, output, message = preloaded.run(script, tmp_path)
    assert code == 0, message
    shares = [int(share) for share in re.findall(r"(\d+)% right", output)]
    assert len(shares) == 10
    assert sum(shares[-3:]) > sum(shares[:3])


def test_the_pages_that_are_told_of_here_are_there():
    assert {"plugins.md", "embedding.md", "architecture.md", "time.md", "randomness.md", "gears.md"} <= set(PAGES)
    assert len(blocks(PAGES["plugins.md"])) >= 3
    assert len(blocks(PAGES["embedding.md"])) >= 6
    assert {"parts.md", "algorithm.md", "questions.md"} <= set(PAGES)


REFERENCE = re.findall(r"^::: ([\w.]+)$", PAGES["reference.md"], re.MULTILINE)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_names_what_there_is(name):
    module, _, attribute = name.rpartition(".")
    try:
        member = getattr(importlib.import_module(module), attribute)
    except AttributeError:
        member = importlib.import_module(name)
    assert member.__doc__


EXAMPLES = DOCS.parent / "examples"
TEMPLATES = DOCS.parent / "agentlab" / "program" / "templates"
CODE = [*EXAMPLES.rglob("*.py"), *TEMPLATES.rglob("*.py")]
IMPORTS = {
    (node.module, alias.name)
    for text in [*(path.read_text("utf-8") for path in CODE), *("\n".join(blocks(text)) for text in PAGES.values())]
    for node in ast.walk(ast.parse(text))
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "agentlab"
    for alias in node.names
}


def test_examples_and_templates_are_read():
    assert sum(path.is_relative_to(TEMPLATES) for path in CODE) >= 10
    assert ("agentlab.trainer", "Trainer") in IMPORTS


@pytest.mark.parametrize(("module", "name"), sorted(IMPORTS), ids=str)
def test_the_reference_has_what_examples_import(module, name):
    """A name, the module it is in, or what it is by another name, such as `agentlab.TimeStep`."""
    listed = set(REFERENCE)
    value = getattr(importlib.import_module(module), name, None) or importlib.import_module(f"{module}.{name}")
    home = f"{getattr(value, '__module__', module)}.{getattr(value, '__qualname__', name)}"
    own = {f"{module}.{name}", module, home, home.rpartition(".")[0]}
    inside = any(one.startswith(f"{module}.{name}.") for one in listed)  # a module, of which the reference has the parts
    assert own & listed or inside, f"{module}.{name} is imported in examples, and not in docs/reference.md"


def anchors(page):
    """Returns what links within a page may name: its headings, as they are in addresses."""
    headings = re.findall(r"^#+ (.*)$", prose(PAGES[page]), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def prose(text):
    """Returns a page without its code."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^):]+)\)", prose(PAGES[page])):
        file, _, anchor = target.partition("#")
        assert (DOCS / (file or page)).exists(), target
        assert not anchor or anchor in anchors(file or page), target


def links(path):
    """Returns the files that a page links to."""
    targets = re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", prose(path.read_text("utf-8")))
    return {(path.parent / target).resolve() for target in targets}


ELSEWHERE = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md", "examples/README.md"]


@pytest.mark.parametrize("page", ELSEWHERE)
def test_links_of_other_pages_lead_somewhere(page):
    assert [str(target) for target in links(ROOT / page) if not target.exists()] == []


QUESTIONS = {  # what newcomers asked, and where a phrase of the answer is
    "Which algorithms are there?": ("questions.md", "| trainer | algorithms |"),
    "Which algorithm should I take?": ("which-algorithm.md", "start with"),
    "How do I train in an environment of my own?": ("own-environment.md", "agentlab run auto"),
    "How do I name an environment that a module registers?": ("own-environment.md", "my_module:Guess-v0"),
    "How do I limit an episode's steps?": ("environments.md", "max_episode_steps"),
    "How do I wrap an environment?": ("environments.md", "environment.wrappers"),
    "What of `info` is used, and how do I mask actions?": ("embedding.md", 'info["action_mask"]'),
    "How do I use a model of my own?": ("embedding.md", "## A model of your own"),
    "How do I run many seeds?": ("questions.md", "--seeds 0-3"),
    "How do I compare seeds?": ("many-runs.md", "agentlab report"),
    "How do I plot learning curves?": ("questions.md", "matplotlib"),
    "What does a TOML file look like?": ("questions.md", "```toml"),
    "Does it write for TensorBoard?": ("tracking.md", "tensorboard --logdir"),
    "Weights & Biases, MLflow?": ("tracking.md", "--tracker wandb"),
    "How do I export a policy?": ("deploy.md", "agentlab export"),
    "Does it use a GPU?": ("questions.md", "tensorflow[and-cuda]"),
    "How do I stop early?": ("questions.md", "evaluation.stop_return"),
    "How do I save an agent of my own loop?": ("questions.md", "agent.save(path)"),
    "Which version is installed?": ("questions.md", "agentlab --version"),
    "How do I resume a run that was killed?": ("resuming.md", "agentlab resume"),
}


def test_every_page_is_two_clicks_from_the_readme():
    first = links(ROOT / "README.md")
    second = {target for page in first if page.suffix == ".md" for target in links(page)}
    assert {DOCS / page for page in PAGES} <= first | second


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_of_newcomers_are_answered(question):
    page, phrase = QUESTIONS[question]
    assert phrase in PAGES[page]


def test_the_site_has_every_page():
    named = set(re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE))
    pages = runpy.run_path(str(DOCS / "site_pages.py"))
    assert named == set(PAGES) | set(pages["PAGES"].values())
    assert set(pages["PAGES"]) == set(ELSEWHERE) - {"README.md"}


def test_pages_from_elsewhere_have_the_links_of_the_site():
    page_of = runpy.run_path(str(DOCS / "site_pages.py"))["page_of"]
    for source in ELSEWHERE[1:]:
        targets = re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", page_of(source))
        assert set(targets) <= {*PAGES, "changelog.md", "contributing.md", "benchmarks.md", "examples.md"}
    assert "(migrating.md)" in page_of("CHANGELOG.md")
    assert "(deploy.md)" in page_of("CHANGELOG.md")


def test_settings_that_the_page_for_newcomers_names_are_there():
    ours = "\n".join(re.findall(r"^\|.*?\| (.*) \|$", PAGES["coming-from.md"], re.MULTILINE))  # the second column
    fields = {
        kind: {field.name for offer in plugins.offers(kind) for field in source_text.find(offer.target).fields}
        for kind in ("trainer", "environment", "model")
    }
    settings = re.findall(r"`(trainer|environment|model)\.(\w+)", ours)
    assert len(settings) > 10
    assert [setting for setting in settings if setting[1] not in fields[setting[0]]] == []


ARCHITECTURE = PAGES["architecture.md"]


def test_the_tree_of_the_architecture_is_the_one_there_is():
    (tree,) = re.findall(r"^    agentlab/\n((?:      .*\n)+)", ARCHITECTURE, re.MULTILINE)
    rows = re.findall(r"^      (\S+)", tree, re.MULTILINE)
    entries = [f"{path.name}/" if path.is_dir() else path.name for path in (ROOT / "agentlab").iterdir()]
    assert sorted(rows) == sorted(name for name in entries if not name.startswith("__") and name.endswith((".py", "/")))
    packages = [path.parent.name for folder in ("plugins", "envs") for path in (ROOT / folder).glob("*/__init__.py")]
    assert sorted(packages) == sorted(re.findall(r"^      (agentlab_\w+)/", ARCHITECTURE, re.MULTILINE))


def test_the_floors_of_the_architecture_are_those_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    (table,) = re.findall(r"^\| floor, from the top .*\n\|[-|]+\n((?:\|.*\n)+)", ARCHITECTURE, re.MULTILINE)
    floors = [sorted(re.findall(r"`(\w+)`", row.split("|")[2])) for row in table.splitlines()]
    assert floors == [sorted(layer.split(" : ")) for layer in layers]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_pages_name_are_there(page):
    """Those of the tree by their path from its root, in backquotes."""
    paths = re.findall(r"`((?:agentlab|plugins|envs|benchmarks|examples|tests|docs)/[\w./-]+)`", PAGES[page])
    assert [path for path in paths if not (ROOT / path).exists()] == []
