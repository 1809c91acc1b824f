"""Samples on a page: episodes, texts and confusion matrices of runs, of which nothing is trusted."""

import base64
import json
import re

import numpy as np
import pytest

from agentlab.reports import collect, compare, figures, page, samples

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture
def write_run(tmp_path):
    def write(name, seed, score, matrix=None, **media):
        directory = tmp_path / "runs" / name
        (directory / "media").mkdir(parents=True)
        config = {"task": {"name": "some", "description": "A task."}, "seed": seed, "versions": {"agentlab": "2.0.0"}}
        (directory / "config.json").write_text(json.dumps(config))
        evaluation = {"accuracy": score, **({} if matrix is None else {"confusion_matrix": matrix})}
        (directory / "result.json").write_text(json.dumps({"task": "some", "seed": seed, "evaluation": evaluation}))
        for file, content in media.items():
            (directory / "media" / file.replace("__", ".")).write_bytes(content)
        return directory

    return write


def pictures_of(tmp_path):
    return samples.samples(compare(collect([tmp_path / "runs"])))


def test_the_newest_media_of_the_best_run_are_on_the_page(write_run, tmp_path):
    write_run("a", 0, 0.5, **{"worse-9__txt": b"not this"})
    media = {
        "evaluation_text-200__txt": b"to be <or> not",
        "evaluation_text-1000__txt": "the newest & best \u00e9".encode(),
        "evaluation_episode-30__png": PNG,
    }
    write_run("b", 7, 0.75, **media)
    episode, text = pictures_of(tmp_path)
    assert (episode.title, text.title) == ("some: evaluation episode", "some: evaluation text")
    assert text.content == "<pre>the newest &amp; best \u00e9</pre>"
    assert text.description == "Step 1,000 of seed 7, the best of 2 runs."
    assert base64.b64decode(re.search('base64,([^"]*)"', episode.content)[1]) == PNG
    whole = page.page(compare(collect([tmp_path / "runs"])), [episode, text], "samples")
    assert '<img alt="some: evaluation episode. Step 30 of seed 7, the best of 2 runs." src="data:image/png;base64,' in whole


UNFIT = {
    "no PNG": {"a-1__png": b"<svg onload=alert(1)>"},
    "a large one": {"a-1__png": PNG + bytes(2**18)},
    "no UTF-8": {"a-1__txt": b"\xff\xfe\xff"},
    "another name": {"a__png": PNG, "a-x__png": PNG, "a-1__svg": b"<svg/>"},
}


@pytest.mark.parametrize("media", UNFIT.values(), ids=UNFIT)
def test_files_that_are_something_else_are_left_out(write_run, tmp_path, media):
    write_run("a", 0, 0.5, **media)
    assert pictures_of(tmp_path) == []


def test_links_are_not_followed(write_run, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    directory = write_run("a", 0, 0.5)
    (directory / "media" / "a-1.txt").symlink_to(tmp_path / "secret.txt")
    other = write_run("b", 1, 0.5)
    (other / "media").rmdir()
    (other / "media").symlink_to(directory / "media")
    assert pictures_of(tmp_path) == []


def test_a_confusion_matrix_adds_up_the_runs_of_a_group(write_run, tmp_path):
    write_run("a", 0, 0.5, [[3, 1], [0, 4]])
    write_run("b", 1, 0.75, [[1, 3], [1, 3]])
    (picture,) = pictures_of(tmp_path)
    assert picture.description == (
        "Answers to 16 samples by class, of 2 runs: 11 are right; most often, class 0 is taken for 1 (4 times)."
    )
    numbers = re.findall(r">(\d+%)<", picture.content)
    assert numbers == ["50%", "50%", "12%", "88%"]  # rows of [4, 4] and [1, 7]


@pytest.mark.parametrize(
    "matrix", [[[1, 2]], [[1, 2], [3]], [[1, -2], [3, 4]], [[1, 2.5], [3, 4]], "x", [], [[1, True], [1, 1]], [[2**60]], 5, [5]]
)
def test_what_is_no_confusion_matrix_is_left_out(write_run, tmp_path, matrix):
    write_run("a", 0, 0.5, matrix)
    assert pictures_of(tmp_path) == []


def test_many_classes_have_no_numbers_but_a_picture(write_run, tmp_path):
    write_run("a", 0, 0.5, (2 * np.eye(40, dtype=int)).tolist())
    (picture,) = pictures_of(tmp_path)
    assert picture.description == "Answers to 80 samples by class, of 1 runs: 80 are right."
    assert "%" not in re.sub(r'="[^"]*"', "", picture.content)


def test_pages_stay_small(write_run, tmp_path):
    for seed in range(20):
        write_run(str(seed), seed, 0.5, (2 * np.eye(100, dtype=int)).tolist(), **{"e-1__png": PNG + bytes(2**18 - 40)})
    comparison = compare(collect([tmp_path / "runs"]))
    assert len(page.page(comparison, figures.pictures(comparison) + samples.samples(comparison), "large")) < 3_000_000
