"""A spaCy pipeline as the model of names: what is loaded, what is refused, and what it finds; scripts/test-names has spaCy."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mohist.cli.main import main
from mohist.guard import Block, GuardDataError, Scanner, View, keyed
from mohist.guard.matcher import build_matcher
from mohist.guard.personal import NameDetector, personal_detector
from mohist.guard.personal.pipeline import load_pipeline

spacy = pytest.importorskip("spacy", reason="spaCy is not installed here: scripts/test-names brings it")

GIVEN = ("Maria", "Jonas", "Amira", "Peter", "Lena", "Samuel", "Ines", "Viktor")
FAMILY = ("Keller", "Brandt", "Haddad", "Novak", "Lindqvist", "Okafor", "Moreau", "Rossi")
TOWNS = ("Leeds", "Lyon", "Graz", "Porto", "Turku", "Ghent", "Brno", "Cork")
FRAMES = (
    "My name is {} and I live in {} now.",
    "Please call {} in {} about the order.",
    "{} moved to {} last week.",
    "We sent it to {} at the office in {} today.",
)
LETTER = "Hello,\nplease call Lena Okafor, 12 Mill Lane, Graz 80101 about the order.\nBest wishes\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline of English, trained on a few dozen sentences, with a part that nobody may call."""
    folder: Path = tmp_path_factory.mktemp("models") / "small"
    spacy.util.fix_random_seed(7)
    draw = random.Random(7)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner", config={"model": small_model()})
    examples = []
    for _ in range(48):
        name, town = f"{draw.choice(GIVEN)} {draw.choice(FAMILY)}", draw.choice(TOWNS)
        text = draw.choice(FRAMES).format(name, town)
        places = [(text.index(name), text.index(name) + len(name), "PERSON"), (text.index(town), text.index(town) + len(town), "GPE")]  # fmt: skip
        examples.append(spacy.training.Example.from_dict(nlp.make_doc(text), {"entities": places}))
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(12):
        draw.shuffle(examples)
        for at in range(0, len(examples), 8):
            nlp.update(examples[at : at + 8], sgd=optimizer, drop=0.1)
    nlp.add_pipe("sentencizer")
    nlp.to_disk(folder)
    return folder


def small_model() -> dict[str, Any]:
    return {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 32,
        "maxout_pieces": 2,
        "use_upper": True,
        "tok2vec": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "width": 32,
            "depth": 2,
            "embed_size": 500,
            "window_size": 1,
            "maxout_pieces": 2,
            "subword_features": True,
            "pretrained_vectors": None,
        },
    }


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def ruled(folder: Path, language: str, patterns: list[dict[str, str]]) -> Path:
    nlp = spacy.blank(language)
    nlp.add_pipe("entity_ruler").add_patterns(patterns)
    nlp.to_disk(folder)
    return folder


def found(detector: NameDetector, text: str) -> list[tuple[str, str]]:
    return [(hit.data_class, text[hit.start : hit.end]) for hit in detector.detect(View(text), Block(text, "user"), {})]


def test_a_trained_pipeline_finds_names_and_addresses_in_sentences_that_it_never_saw(trained: Path) -> None:
    detector = NameDetector(load_pipeline(str(trained)))
    assert found(detector, LETTER) == [
        ("personal.address", "12 Mill Lane, Graz 80101"),
        ("personal.name", "Lena Okafor"),
    ]


def test_it_stands_beside_the_dictionary_in_one_scan(trained: Path) -> None:
    detectors = [personal_detector(), NameDetector(load_pipeline(str(trained)))]
    scanner = Scanner(detectors, build_matcher(detectors, engine="re2"), keyed(b"a key for tests"))
    text = LETTER + "联系人：王小明，手机 13812345670\n"
    [one] = scanner.scan([Block(text, "tool_result")])
    assert {text[finding.start : finding.end] for finding in one.findings} == {
        "12 Mill Lane, Graz 80101",
        "Lena Okafor",
        "王小明",
        "13812345670",
    }


@pytest.fixture
def told(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Scans a letter with the model in the user's settings; how it ended and what it said."""
    home, letter = tmp_path / "home", tmp_path / "letter.txt"
    home.mkdir()
    letter.write_text(LETTER, encoding="utf-8")
    monkeypatch.setenv("MOHIST_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    others = ["secret", "listed", "keyword", "personal", "covert", "marking", "fingerprint", "injection", "path"]

    def scan(only: str, more: str = "") -> tuple[int, str]:
        text = f'[guard]\nnames_model = "{trained}"\nwithout = {json.dumps(others)}\n{more}'
        (home / "mohist.toml").write_text(text, encoding="utf-8")
        code = main(["guard", "scan", str(letter), "--only", only])
        return code, capsys.readouterr().out

    return scan


def test_a_scan_that_asks_for_personal_data_tells_names_and_addresses(told: Callable[..., tuple[int, str]]) -> None:
    code, out = told("personal")
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["personal.name", "personal.address"]
    assert "Okafor" not in out
    assert [line.split()[1] for line in told("personal.name")[1].splitlines()[1:]] == ["personal.name"]


def test_a_scan_tells_what_the_model_was_not_asked_about(told: Callable[..., tuple[int, str]]) -> None:
    code, out = told("personal", 'names_failure = "noted"\n[guard.limits]\nmax_names_chars = 10\n')
    assert (code, out.splitlines()[1].split()[1]) == (1, "unread.names")
    code, out = told("personal", "[guard.limits]\nmax_names_chars = 10\n")
    assert code == 1
    assert "not looked at: it can't be looked at: A text holds more than 10 characters" in out


def test_parts_that_mark_no_names_are_not_loaded(trained: Path) -> None:
    assert json.loads((trained / "meta.json").read_text(encoding="utf-8"))["pipeline"] == ["ner", "sentencizer"]
    assert load_pipeline(str(trained))._nlp.pipe_names == ["ner"]


def test_chinese_goes_the_same_way(tmp_path: Path) -> None:
    folder = ruled(
        tmp_path / "zh",
        "zh",
        [
            {"label": "PERSON", "pattern": "李晓华"},
            {"label": "GPE", "pattern": "杭州"},
            {"label": "FAC", "pattern": "文三路"},
        ],
    )
    text = "昨天李晓华说，她住在杭州文三路90号，在杭州不想搬家。"
    assert found(NameDetector(load_pipeline(str(folder))), text) == [
        ("personal.address", "杭州文三路90号"),
        ("personal.name", "李晓华"),
    ]


def test_a_pipeline_learns_no_words_by_heart(trained: Path) -> None:
    pipeline = load_pipeline(str(trained))
    before = len(pipeline._nlp.vocab.strings)
    for number in range(50):
        pipeline.named(f"My name is Unheard{number} Surname{number} and so on.")
    assert len(pipeline._nlp.vocab.strings) == before


def test_several_threads_get_what_one_gets(trained: Path) -> None:
    detector = NameDetector(load_pipeline(str(trained)))
    results: list[list[tuple[str, str]]] = []
    threads = [threading.Thread(target=lambda: results.append(found(detector, LETTER))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [found(detector, LETTER)] * 4


def test_an_installed_package_is_read_and_its_code_is_not_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "en_of_a_company"
    shutil.copytree(trained, package / "en_of_a_company-1.0.0")
    (package / "__init__.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    pipeline = load_pipeline("en_of_a_company")
    assert [named.sort for named in pipeline.named("My name is Peter Novak and I live in Cork now.")] == [
        "name",
        "place",
    ]


def rewritten(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    meta = json.loads(file.read_text(encoding="utf-8"))
    change(meta)
    file.write_text(json.dumps(meta), encoding="utf-8")


def test_another_model_or_another_spacy_has_another_version(copied: Path) -> None:
    first = load_pipeline(str(copied)).version
    rewritten(copied / "meta.json", lambda meta: meta.update(performance={"ents_f": 0.5}))
    second = load_pipeline(str(copied)).version
    assert first != second
    assert f"spacy-{spacy.__version__}" in second


def test_a_pipeline_of_another_spacy_is_refused(copied: Path) -> None:
    for wanted in (">=3.0.0,<3.1.0", "of old"):
        rewritten(copied / "meta.json", lambda meta, wanted=wanted: meta.update(spacy_version=wanted))
        with pytest.raises(GuardDataError, match=r"was made for spaCy .*; installed is"):
            load_pipeline(str(copied))


def test_a_damaged_pipeline_is_refused(copied: Path) -> None:
    (copied / "ner" / "model").write_bytes(b"nothing")
    with pytest.raises(GuardDataError, match="can't be loaded"):
        load_pipeline(str(copied))


def test_a_part_that_nobody_here_knows_is_left_out_and_not_asked(copied: Path) -> None:
    config = copied / "config.cfg"
    text = config.read_text(encoding="utf-8")
    config.write_text(
        text.replace('factory = "sentencizer"', 'factory = "llm"').replace("overwrite = false", "").replace("punct_chars = null", ""),
        encoding="utf-8",
    )  # fmt: skip
    assert load_pipeline(str(copied))._nlp.pipe_names == ["ner"]


def test_a_pipeline_that_marks_no_names_is_refused(tmp_path: Path) -> None:
    folder = ruled(tmp_path / "fruit", "en", [{"label": "FRUIT", "pattern": "apple"}])
    with pytest.raises(GuardDataError, match=r"marks no names: its labels are FRUIT"):
        load_pipeline(str(folder))
    empty = spacy.blank("en")
    empty.to_disk(tmp_path / "empty")
    with pytest.raises(GuardDataError, match="its labels are none"):
        load_pipeline(str(tmp_path / "empty"))
