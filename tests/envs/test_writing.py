"""Writing: prompts, completions and rewards by hand, on the device and on the host."""

import itertools
import json

import attrs
import numpy as np
import pytest
import tensorflow as tf

import judging
from agentlab import errors, seeds, settings
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.runs import composition
from agentlab.spec.environment_spec import EnvironmentSpec
from agentlab.spec.vocabulary import Characters
from agentlab.task import Part
from agentlab_envs.text import texts
from agentlab_envs.text.judged import JudgedWriting
from agentlab_envs.text.judges import judge
from agentlab_envs.text.problems import PROBLEMS, AddNumbers, BalanceBrackets, ReverseLetters, SortDigits
from agentlab_envs.text.prompts import FilePrompts
from agentlab_envs.text.writing import Writing

TEXT = "abcab\ncabba\n" * 20
SEED = tf.constant([3, 4], tf.int64)


def numbers(problem, *lines):
    """Returns texts as rows of numbers, each filled up with stops."""
    longest = max(map(len, lines))
    return tf.constant(np.stack([problem.vocabulary.encode(line.ljust(longest, "\n")) for line in lines]))


def write(environment, texts_by_row):
    """Writes a completion in each row of a host environment, and returns time steps, from the reset on.

    What is written where there is no choice is the last character of the vocabulary, which must not matter.
    """
    vocabulary = environment.spec.vocabulary
    timesteps = [environment.reset(5)]
    left = [list(vocabulary.encode(text)) for text in texts_by_row]
    for _ in range(environment.spec.max_episode_steps):
        free = timesteps[-1].observation["action_mask"].sum(axis=1) > 1
        action = [row.pop(0) if is_free and row else vocabulary.size - 1 for is_free, row in zip(free, left, strict=True)]
        timesteps.append(environment.step(np.array(action)))
    return timesteps


# ---- problems -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "prompt", "answer", "wrong"),
    [
        (SortDigits(), "425136=", "123456", ["123465", "12345", "1234566", ""]),
        (SortDigits(3), "909=", "099", ["990"]),
        (AddNumbers(), "47+85=", "132", ["131", "13", "1320", "032"]),
        (AddNumbers(), "12+34=", "46", ["046", "4", "460"]),
        (AddNumbers(1), "5+5=", "10", ["0"]),
        (ReverseLetters(3), "abj=", "jba", ["abj"]),
        (BalanceBrackets(4), "(()(", "))", [")", ")))", "", "()"]),
        (BalanceBrackets(2), "()", "", [")", "("]),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_right_and_wrong_answers(problem, prompt, answer, wrong):
    prompts = numbers(problem, prompt)
    assert problem.vocabulary.decode(problem.answer(prompts).numpy()[0]).rstrip("\n") == answer
    for completion in (answer, *wrong):
        padded = numbers(problem, completion.ljust(problem.answer_length + 2, "\n"))  # longer ones may be written
        assert problem.is_right(prompts, padded).numpy().tolist() == [completion == answer], completion


def test_any_balanced_continuation_is_right():
    problem = BalanceBrackets(3)
    completions = numbers(problem, ")", "())\n", "))(", ")()\n", "(")
    prompts = numbers(problem, *["()("] * 5)
    assert problem.is_right(prompts, completions).numpy().tolist() == [True, True, False, True, False]
    assert problem.is_right(prompts[:1], numbers(problem, "()())")).numpy().tolist() == [False]  # it doesn't end


@pytest.mark.parametrize("name", PROBLEMS)
def test_drawn_problems_are_of_their_alphabet_and_have_right_answers(name, compiled):
    problem = PROBLEMS[name]()
    prompts = compiled(lambda seed: problem.draw(seed, 200))(SEED)
    assert prompts.shape == (200, problem.prompt_length)
    assert len(set(map(bytes, prompts.numpy()))) > 20
    assert prompts.numpy().min() > problem.stop  # no stop in a prompt, and nothing unseen
    assert problem.is_right(prompts, problem.answer(prompts)).numpy().all()


def test_worked_examples_are_a_corpus():
    text = texts.read("corpus:add-numbers").decode()
    lines = text.splitlines()
    assert len(lines) == texts.EXAMPLES
    for line in lines[:50]:
        problem, answer = line.split("=")
        assert sum(map(int, problem.split("+"))) == int(answer)
    assert Characters.of(text) == AddNumbers().vocabulary


# ---- the environment ----------------------------------------------------------------------------------------------------


def test_a_prompt_is_shown_and_a_completion_written_and_judged():
    environment = HostedEnvironment(Writing(prompts="add-numbers"), 2)
    vocabulary = environment.spec.vocabulary
    first = environment.reset(5)
    timesteps = write(environment, ["000\n", "000\n"])

    # The first characters are the prompt's, whatever the action: the mask names the next one.
    characters = [vocabulary.decode(step.observation["symbol"][:, 0]) for step in timesteps]
    problems = ["".join(step[row] for step in characters[:6]) for row in range(2)]
    for step, following in itertools.pairwise(timesteps[:6]):
        assert step.observation["action_mask"].sum(axis=1).tolist() == [1, 1]
        assert step.observation["action_mask"].argmax(axis=1).tolist() == following.observation["symbol"][:, 0].tolist()
    np.testing.assert_array_equal(first.observation["symbol"], timesteps[0].observation["symbol"])
    assert timesteps[5].observation["action_mask"].tolist() == [[False, *[True] * 13]] * 2  # all but what is unseen
    answers = [str(sum(map(int, problem.strip("=").split("+")))) for problem in problems]

    # The right answers earn 1 when they end, and the next episode begins there.
    timesteps = write(environment, [f"{answer}\n" for answer in answers])
    for row, answer in enumerate(answers):
        rewards = [step.reward[row] for step in timesteps]
        end = 6 + len(answer)
        assert rewards[: end + 1] == [0.0] * end + [1.0]
        assert timesteps[end].terminated[row]
        assert timesteps[end].observation["action_mask"][row].sum() == 1
        assert vocabulary.decode(timesteps[end].final_observation["symbol"][row]) == "\n"


def test_a_completion_that_doesnt_stop_is_cut_off_and_earns_nothing():
    environment = HostedEnvironment(Writing(prompts="sort-digits", size=1, completion_length=3), 1)
    timesteps = write(environment, ["777"])
    assert [float(step.reward[0]) for step in timesteps] == [0.0] * 5
    assert [bool(step.terminated[0]) for step in timesteps] == [False, False, False, False, True]


def test_groups_have_one_prompt_and_wait_for_each_other():
    environment = HostedEnvironment(Writing(prompts="sort-digits", size=2, group_size=2), 4)
    assert environment.spec.group_size == 2
    vocabulary, length = environment.spec.vocabulary, environment.spec.max_episode_steps
    first = write(environment, [""] * 4)
    digits = [
        sorted(vocabulary.decode(np.array([step.observation["symbol"][row, 0] for step in first[:2]]))) for row in range(4)
    ]
    assert digits[0] == digits[1] != digits[2] == digits[3]

    # Row 1 ends at once: it waits, with no choice, until all episodes end.
    right = ["".join(pair) + "\n" for pair in digits]
    timesteps = write(environment, [right[0], "\n", right[2], "9\n"])
    assert [[float(reward) for reward in step.reward] for step in timesteps[3:]] == [[0, 0, 0, 0]] * 2 + [[1, 0, 1, 0]]
    assert [step.terminated.any() for step in timesteps] == [False] * length + [True]
    assert timesteps[-1].terminated.all()
    waiting = [step.observation["action_mask"].sum(axis=1) == 1 for step in timesteps[3:-1]]
    assert [rows.tolist() for rows in waiting] == [[False, True, False, False], [False, True, False, True]][: len(waiting)]


def test_prefer_and_avoid_are_shares_of_what_was_written():
    options = {"prompts": "text", "text": TEXT, "prompt_length": 2, "completion_length": 4, "characters": "b"}
    for reward, sign in (("prefer", 1), ("avoid", -1)):
        environment = HostedEnvironment(Writing(reward=reward, **options), 4)
        timesteps = write(environment, ["bbaa", "b\n", "\n", "caac"])
        totals = np.zeros(4)
        going_on = np.ones(4, bool)
        for step in timesteps[1:]:
            totals += step.reward * going_on
            going_on &= ~step.terminated
        np.testing.assert_allclose(totals, np.array([0.5, 1.0, 0.0, 0.0]) * sign)  # an empty completion earns 0


def test_prompts_of_a_file_have_lengths_of_their_own(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("ab\ncabca\n")
    environment = Writing(prompts=str(path), text=TEXT, reward="prefer", characters="a", completion_length=2)
    assert environment.spec.max_episode_steps == 5 + 2 - 1
    draft = environment.drafting.begin(SEED, 40)
    vocabulary = environment.spec.vocabulary
    for text, length, row in zip(draft.text.numpy(), draft.length.numpy(), draft.row.numpy(), strict=True):
        assert vocabulary.decode(text[:length]) == ("ab", "cabca")[row]
        assert vocabulary.decode(text[length:]) == "\n" * (7 - length)
    assert set(draft.row.numpy()) == {0, 1}


def test_a_spec_with_groups_comes_back_from_json():
    spec = Writing(group_size=4).spec
    assert EnvironmentSpec.from_data(json.loads(json.dumps(spec.as_data()))) == spec
    for size in (0, None, "4", 2.5):
        with pytest.raises(errors.UsageError, match="can't be read"):
            EnvironmentSpec.from_data({**spec.as_data(), "group_size": size})


# ---- rewards by a function of Python ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_function_judges_as_the_built_in_reward_does():
    device = HostedEnvironment(Writing(prompts="add-numbers", group_size=2), 4)
    judged = JudgedWriting(prompts="add-numbers", group_size=2, reward=judging.is_answer, num_environments=4)
    assert attrs.evolve(judged.spec, name="writing") == device.spec
    rewards = []
    for _ in range(2):
        timesteps = write(judged, ["1\n", "22\n", "133", "\n"])
        seen = [step.observation["symbol"][:, 0] for step in timesteps[:6]]
        problems = judged.spec.vocabulary.decode(np.array(seen).T.ravel())
        answers = [str(sum(map(int, problems[row * 6 : row * 6 + 5].split("+")))) for row in range(4)]
        timesteps = write(judged, [f"{answers[0]}\n", "9\n", f"{answers[2]}\n", "\n"])
        rewards.append(sum(step.reward for step in timesteps).tolist())
    assert rewards == [[1.0, 0.0, 1.0, 0.0]] * 2


def test_a_function_gets_prompts_completions_and_columns(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "ab", "weight": 2}\n\n{"prompt": "", "weight": [3]}\n')
    calls = []

    def reward(prompts, completions, weight):
        calls.extend(zip(prompts, completions, weight, strict=True))
        return np.ones(len(prompts))

    environment = JudgedWriting(prompts=str(path), text=TEXT, reward=reward, completion_length=3, num_environments=8)
    write(environment, ["ab\n", "\n", "ccc", "a\n"] * 2)
    columns = {"ab": 2, "\n": [3]}  # an empty prompt is what texts continue from by default
    assert {prompt for prompt, _, _ in calls} == set(columns)
    assert all(weight == columns[prompt] for prompt, _, weight in calls)
    assert {"ab", "", "ccc", "a"} <= {completion for _, completion, _ in calls}


BAD = [
    (lambda prompts, completions: 1 / 0, "failed on 2 completions, .* 'c' after the prompt 'ab' in row 3: it raised Zero"),
    (lambda prompts, completions: [1.0], "returned 1 values for 2 completions"),
    (lambda prompts, completions: None, "returned None for 2 completions"),
    (lambda prompts, completions: [1.0, None], "returned None for '' after the prompt 'ba' in row 7; expected a finite number"),
    (lambda prompts, completions: [float("nan"), 1.0], "returned nan for 'c' after the prompt 'ab' in row 3"),
    (lambda prompts, completions: [1.0, "good"], "returned 'good' for '' after"),
    (lambda prompts, completions: [1.0, 1e300], r"returned 1e\+300 for '' after"),
    (lambda prompts: [1.0, 1.0], "it raised TypeError: .*positional argument"),
]


@pytest.mark.parametrize(("function", "message"), BAD)
def test_bad_rewards_name_prompt_and_row(function, message):
    with pytest.raises(errors.EnvironmentFault, match=message) as error:
        judge(function, ["ab", "ba"], ["c", ""], {}, np.array([3, 7]))
    assert "\n" not in str(error.value)
    assert "resume the run" in str(error.value)


def test_after_a_function_raised_the_step_can_be_taken_again():
    raising = [True]

    def reward(prompts, completions, answer):
        if raising[0]:
            raise KeyError("price")
        return [2.0] * len(prompts)

    environment = JudgedWriting(prompts="sort-digits", size=1, reward=reward)
    environment.reset(1)
    environment.step(np.array([2]))
    with pytest.raises(errors.EnvironmentFault, match=r"failed on 1 completions, .*: it raised KeyError: 'price'"):
        environment.step(np.array([1]))  # the stop, at once: an empty completion
    raising[0] = False
    assert environment.step(np.array([1])).reward.tolist() == [2.0]


def test_a_function_is_named_by_its_module():
    assert JudgedWriting(reward="judging:length")._function is judging.length
    for name, message in (
        ("judging", 'expected a function, or the "module:name" of one'),
        ("judging:lenght", "is no function of that module"),
        ("judging:number", "is no function of that module"),
        ("no_such_module:length", "can't be imported: .*No module named 'no_such_module'"),
    ):
        with pytest.raises(errors.UsageError, match=message):
            JudgedWriting(reward=name)


def test_a_strangers_file_imports_no_module():
    part = Part("writing-judged", {"reward": "judging:length"}, from_file=frozenset({"reward"}))
    with pytest.raises(errors.UsageError, match="would have the module 'judging' imported"):
        composition.build_environment(part, 1)


# ---- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompts": "text", "text": TEXT}, "only problems have one"),
        ({"characters": "a"}, "go together"),
        ({"reward": "prefer"}, "go together"),
        ({"stop": "ab"}, "'stop' must be one character"),
        ({"stop": "1"}, "'stop' of 'sort-digits' is a line break"),
        ({"prompts": "text", "size": 3}, "'size' is for prompts of a problem"),
        ({"prompt_length": 3}, "'prompt_length' is for prompts that are cut from a text"),
        ({"size": 0}, "'size' must be >= 1"),
        ({"completion_length": 0}, "'completion_length' must be >= 1"),
        ({"group_size": 0}, "'group_size' must be >= 1"),
    ],
)
def test_settings_that_make_no_sense(values, message):
    with pytest.raises(errors.UsageError, match=message):
        settings.build(Writing, values, "environment 'writing'")


@pytest.mark.parametrize(
    ("lines", "suffix", "message"),
    [
        ("ab\nabz!", ".txt", "Prompt 2 of .* has characters that the training text does not have: 'z', '!'"),
        ("", ".txt", "has 0 prompts"),
        ("{", ".jsonl", "Line 1 of .* is no JSON"),
        ('{"prompt": "ab"}\n{"promt": "ab"}', ".jsonl", "Line 2 of .*; expected a table with a text as its 'prompt'"),
        ('["ab"]', ".jsonl", "expected a table with a text as its 'prompt'"),
    ],
)
def test_files_of_prompts_that_cant_be_used(tmp_path, lines, suffix, message):
    path = tmp_path / f"prompts{suffix}"
    path.write_text(lines)
    with pytest.raises(errors.UsageError, match=message):
        FilePrompts(str(path), Characters("abc"))


def test_what_the_text_lacks_is_refused_before_training():
    text = {"prompts": "text", "text": "abc" * 50, "prompt_length": 2, "reward": "prefer"}
    with pytest.raises(errors.UsageError, match=r"The stop '\\n' is no character of the training text"):
        Writing(characters="a", **text).spec  # noqa: B018
    with pytest.raises(errors.UsageError, match=r"The character 'z' of environment.characters isn't in the training text"):
        Writing(characters="z", stop="", **text).initial(seeds.at(0, 0), 2)
    with pytest.raises(errors.UsageError, match="3 environments side by side are no whole groups of 2"):
        Writing(group_size=2).initial(seeds.at(0, 0), 3)
