"""What pages show is true: their commands run, their Python runs, their recipes are valid."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from geobind.config import Stage
from geobind.plugins import get_plugins
from geobind.plugins.keys import keys_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.relative_to(DOCS).parts[0].startswith("_"))
NOT_RUN_AT_MOST = 4
"""Blocks of one page that may be marked so."""


def beside(name):
    """A module beside this file: tests cannot import each other."""
    if f"docs_{name}" not in sys.modules:
        spec = importlib.util.spec_from_file_location(f"docs_{name}", Path(__file__).with_name(f"{name}.py"))
        sys.modules[f"docs_{name}"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[f"docs_{name}"]


blocks, reader = beside("blocks"), beside("reader")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_page(page, tmp_path):
    if mistake := reader.mistake_of(page, tmp_path):
        pytest.fail(mistake, pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_few_blocks_are_not_run(page):
    assert sum(bool(block.not_run) for block in blocks.blocks(page)) <= NOT_RUN_AT_MOST


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_no_line_begins_with_a_percent_sign(page):
    """MyST would take it for a comment, and the reader would miss a line."""
    assert not re.search(r"^%", page.read_text(), flags=re.MULTILINE)


def test_there_is_something_to_run():
    found = [block.language for page in PAGES for block in blocks.blocks(page) if not block.not_run]
    assert found.count("sh") >= 20
    assert found.count("python") >= 5
    assert found.count("yaml") >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_commands_and_keys_in_sentences_exist(page):
    known = {key.key for key in keys_of(Stage)}
    parts = {key.partition(".")[0] for key in known if "." in key}
    for found in blocks.words_in_code(page):
        words = found.text.split()
        if words[0] == "geobind" and len(words) > 1 and not re.search(r"[…|$]", found.text):
            assert not (wrong := reader.check_command(words)), found.wrong(wrong)
        if re.fullmatch(r"(\w+)(\.\w+)+", found.text) and found.text.partition(".")[0] in parts:
            assert found.text in known, found.wrong(f"{found.text} is no key of a stage")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_a_file_of_the_front_names_commands_and_options_that_exist(name):
    found = [block for block in blocks.blocks(ROOT / name) if block.language == "sh"]
    assert found
    for block in found:
        for number, line in reader.commands(block.text):
            words = shlex.split(line, comments=True)
            starts = [i for i, word in enumerate(words) if Path(word).name == "geobind"]
            if words and (words[0] != "git") and starts:
                assert not (wrong := reader.check_command(words[starts[0] :])), block.wrong(wrong, number)


def test_python_of_the_readme_runs(tmp_path):
    """Its commands are for a checkout; a small world takes the place of theirs."""
    small = "--set defaults.dataset.n=60 --set defaults.optim.epochs=1 --set defaults.optim.batch_size=32"
    before = "\n".join(f"geobind bind --recipe world --stage {stage} {small}" for stage in ("text", "location"))
    if mistake := reader.mistake_of(ROOT / "README.md", tmp_path, languages={"python", "yaml"}, before=before):
        pytest.fail(mistake, pytrace=False)


# -- the reader itself ----------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path):
    """Read a page of this text."""

    def mistake(text):
        page = tmp_path / "page.md"
        page.write_text(text)
        folder = tmp_path / "folder"
        folder.mkdir()
        return reader.mistake_of(page, folder)

    return mistake


WORKS = """# Title

```yaml
# deep/my.yaml
seed: 3
```

<!-- before
mkdir made && export WORD=shown
-->
```sh
cd made   # the next block goes on there
geobind --version; echo $WORD > word
geobind plugins list \\
  --json
```

:::{note}
```python
from pathlib import Path
assert Path("word").read_text() == "shown\\n"
assert Path("../deep/my.yaml").read_text() == "seed: 3\\n"
```
:::

````{admonition} Title
```python
assert Path.cwd().name == "made"
```
````

<!-- not run: an example -->
```sh
exit 7
```

```text
whatever
```
"""


def test_reader_does_what_a_page_says(read):
    assert read(WORKS) == ""


@pytest.mark.parametrize(
    ("page", "mistake"),
    [
        ("```sh\ntrue\n\nfalse\n```", "page.md:2: exit code 1"),
        ("```sh\ngeobind plugins list\ngeobind bind --no-such-option\n```", "page.md:3: exit code 2"),
        ("```sh\ngeobind stages validate absent.yaml\n```", "absent.yaml"),
        ("Words.\n\n```python\nx = 1\n1 / 0\n```", "page.md:5: ZeroDivisionError"),
        ("```python\ndef f(:\n```", "page.md:2: SyntaxError"),
        ("```yaml\noptim: {epoch: 3}\n```", "optim.epoch'. Did you mean"),
        ("```yaml\nepochs: 3\n```", "epochs'. Known: "),
        ("```yaml\nencoder: {type: mel_cnn, secnds: 3}\n```", "secnds"),
        ("```yaml\na: [1\n```", "page.md:2:"),
        ("```toml\na =\n```", "page.md:2:"),
        ("```console\n$ ls\n```", "page.md:2: a block of console"),
        ("```\nls\n```", "a block of no language"),
        ("<!-- not run: -->\n```sh\nls\n```", "without a reason"),
        ("<!-- not run: because -->\n\nWords.\n\n```sh\nls\n```", "stands before no block"),
    ],
)
def test_reader_tells_page_and_line_of_a_mistake(read, page, mistake):
    assert mistake in read(page)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("geobind bind --recipe my.yaml --dry-run", ""),
        ("geobind --plugin ./a.py bind --set a=b", ""),
        ("geobind evaluate --all-pairs --no-cache", ""),
        ("geobind bnd", "geobind has no command bnd"),
        ("geobind runs lst", "geobind runs has no command lst"),
        ("geobind bind --recpe x", "geobind bind has no --recpe"),
    ],
)
def test_reader_knows_commands(line, wrong):
    assert reader.check_command(line.split()) == wrong


def test_reader_forgets_one_file_plugins(read):
    page = """
```python
# mine_alone.py
import geobind

@geobind.hookimpl
def geobind_modalities():
    return [geobind.ModalitySpec(name="mine_alone", item="anything", summary="Mine alone")]
```

```sh
geobind --plugin mine_alone.py plugins list
geobind --plugin mine_alone.py plugins list
```
"""
    before = list(get_plugins().records)
    assert read(page) == ""
    assert get_plugins().records == before
    assert "mine_alone" not in sys.modules
    assert not get_plugins().manager.has_plugin("mine_alone")
