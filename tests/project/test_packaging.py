"""What is published is whole, and the files for a public forge agree with setup.cfg, README.md and .ci/run."""

import configparser
import re

import pytest

from paths import ROOT


def read(name):
    return (ROOT / name).read_text("utf-8")


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read_string(read("setup.cfg"))
    return parser


@pytest.fixture(scope="module")
def folders(setup):
    """Every package of setup.cfg, with its folder."""
    homes = dict(line.split(" = ") for line in setup["options"]["package_dir"].split("\n") if line)
    packages = setup["options"]["packages"].split()
    return {package: ROOT.joinpath(homes[package.partition(".")[0]], *package.split(".")[1:]) for package in packages}


def sources():
    """Returns every file of the packages, without what Python and pip leave there."""
    every = [path for top in ("agentlab", "plugins", "envs") for path in (ROOT / top).rglob("*") if path.is_file()]
    return [path for path in every if "__pycache__" not in path.parts and not path.parent.name.endswith(".egg-info")]


def test_every_module_is_in_a_package_that_is_published(folders):
    modules = {path.parent for path in sources() if path.suffix == ".py" and "templates" not in path.parts}
    assert modules == set(folders.values())


def test_every_other_file_is_published_as_data(setup, folders):
    patterns = {package: text.split() for package, text in setup["options.package_data"].items()}
    published = {
        path
        for package, folder in folders.items()
        for pattern in [*patterns["*"], *patterns.get(package, [])]
        for path in folder.glob(pattern)
    }
    assert {path for path in sources() if path.suffix != ".py" or "templates" in path.parts} <= published


def test_every_package_says_that_it_is_typed(folders):
    tops = [folder for package, folder in folders.items() if "." not in package]
    assert [folder.name for folder in tops if not (folder / "py.typed").is_file()] == []


def test_the_container_runs_the_first_line_of_the_readme():
    line = re.search(r"^\$ pip install \. && (.*)$", read("README.md"), re.MULTILINE)[1]
    container = read("Dockerfile")
    assert "pip install --no-cache-dir ." in container
    words = re.findall(r'"([^"]*)"', "".join(re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", container, re.MULTILINE)))
    assert " ".join(words) == line


def test_the_same_versions_of_python_are_named_everywhere(setup):
    versions = re.findall(r":: (3\.\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    assert setup["options"]["python_requires"] == f">={versions[0]}"
    assert re.search(r"^Python (3[^(]*[^( ])", read("README.md"), re.MULTILINE)[1] == " or ".join(
        [", ".join(versions[:-1]), versions[-1]]
    )
    workflow = read(".github/workflows/test.yml")
    assert re.findall(r'"(3\.\d+)"', workflow) == [*versions, versions[0]]
    assert re.search(r"^FROM python:(3\.\d+)", read("Dockerfile"), re.MULTILINE)[1] == versions[-1]


def test_the_forge_runs_what_ci_runs():
    steps = re.findall(r"- run: (.*)", read(".github/workflows/test.yml"))
    assert steps == [".ci/run", ".ci/lower-bounds"]
    assert all((ROOT / step).stat().st_mode & 0o111 for step in steps)
    hooks = re.findall(r"entry: ([\w -]+),", read(".pre-commit-config.yaml"))
    assert len(hooks) == 4
    commands = read(".ci/run")
    assert all(re.search(rf"^{hook.removesuffix(' --fix')}\b", commands, re.MULTILINE) for hook in hooks)


def test_one_version_is_published(setup):
    version = setup["metadata"]["version"]
    citation = dict(re.findall(r"^([\w-]+): (.*)$", read("CITATION.cff"), re.MULTILINE))
    assert (citation["title"], citation["version"], citation["license"]) == ("agentlab", version, setup["metadata"]["license"])
    assert re.search(r"^## ([\d.]+)", read("CHANGELOG.md"), re.MULTILINE)[1] == version
