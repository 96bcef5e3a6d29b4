"""Train the keyword filter and write src/mohist/guard/data/keyword-model.json. Run it as scripts/train-guard.

    scripts/train-guard DIR [--cache FILE] [--out FILE]

DIR holds `creddata/data` and `creddata/meta` as Samsung's CredData writes them, and `clean/train/<package>/` with unpacked
sources of packages that hold no secrets of anyone. `plain/data` and `plain/meta`, if there, are the same files before CredData
puts random characters in place of each secret: nothing is learnt from them, but it is told how many of them would be found. Of CredData only the repositories that benchmarks/guard/corpus.py does not
hold out are read. Needs `pip install lightgbm scikit-learn`; nothing of them is needed where the model is used.

What is trained: a table of how rare pairs of characters are and a list of usual words; a linear model over hashed signs;
a few trees over cheap features that drop most candidates; and the trees that judge the others, which also see the linear model's sums
(for the training rows: as it gives them when it has not seen their repository). Borders are read off the same way.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
import re
import sys
from base64 import b64encode
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import lightgbm
import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks/guard"))
sys.path.insert(0, str(ROOT / "src"))


from corpus import Label, Source, clean, sources  # noqa: E402

from mohist.guard.keyword import context, model, shape  # noqa: E402
from mohist.guard.keyword.detector import KeywordDetector, chosen_candidates  # noqa: E402
from mohist.guard.keyword.token import GROUPS, TABLE, tokens  # noqa: E402
from mohist.guard.matcher import build_matcher  # noqa: E402
from mohist.guard.view import View  # noqa: E402

FOLDS = 4
WORDS_MAX = 7000
WORD_MIN_SOURCES = 5
CLEAN_WEIGHT = 0.5
"""Of a clean package's candidate beside a labelled repository's: some of them are test secrets that nobody labelled."""
REPEATS = 12.0
"""A repository that says the same key a hundred times counts as if it said it this often."""
PATHLESS = 3
"""Of ten files so many are learnt from without their path, since texts in a request have none."""
QUICK_LOST = 0.015
"""While learning; many of these no filter would find."""
QUICK_KEPT = 0.1
"""Share of all candidates that the first filter lets through where it is used."""
QUICK_MARGIN = 0.7
"""In log odds."""
MASKING_ALARMS_PER_MB = 4.0
BLOCKING_ALARMS_PER_MB = 0.4
COMMON: dict[str, Any] = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 7, "deterministic": True, "force_row_wise": True, "max_bin": 63, "min_data_in_leaf": 25, "lambda_l2": 5.0}  # fmt: skip
FULL = {
    **COMMON,
    "learning_rate": 0.08,
    "num_leaves": 24,
    "feature_fraction": 0.35,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
}
FULL_TREES = 160
EARLY = 40
QUICK = {**COMMON, "learning_rate": 0.3, "num_leaves": 10, "feature_fraction": 1.0}
QUICK_TREES = 14
GOLDEN = 16
"""Rows with LightGBM's own answer that go into the file, for a test that compares."""


@dataclass(slots=True)
class Rows:
    """All candidates: one entry a candidate in each list."""

    columns: list[list[float]] = field(default_factory=list)
    quick: list[Sequence[float]] = field(default_factory=list)
    signs: list[tuple[list[int], ...]] = field(default_factory=list)
    real: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    repository: list[str] = field(default_factory=list)
    clean: list[bool] = field(default_factory=list)
    line: list[tuple[str, int]] = field(default_factory=list)
    key: list[str] = field(default_factory=list)
    plain: list[bool] = field(default_factory=list)


def language(texts: Iterable[Source]) -> tuple[list[str], bytes]:
    """The usual words, and how rare each pair of characters is in tenths of a bit."""
    pairs = np.zeros((shape.ALPHABET, shape.ALPHABET))
    where: dict[str, set[str]] = defaultdict(set)
    count: Counter[str] = Counter()
    for source in texts:
        for word in {word.lower() for word in shape.WORDS.findall(source.text[:60_000])}:
            count[word] += 1
            where[word].add(source.repository)
        for piece in re.findall(r"\S{3,60}", source.text[:20_000]):
            codes = piece.encode("utf-8", "replace").translate(shape.PAIR_CODES)
            for left, right in itertools.pairwise(codes):
                pairs[left, right] += 1
    usual = sorted(
        (word for word in count if len(word) > 2 and len(where[word]) >= WORD_MIN_SOURCES),
        key=lambda word: (-len(where[word]), -count[word], word),
    )
    chances = (pairs + 0.5) / (pairs + 0.5).sum(1, keepdims=True)
    return usual[:WORDS_MAX], np.minimum(250, np.round(-np.log2(chances) * 10)).astype(np.uint8).tobytes()


def judged(start: int, end: int, labels: Sequence[Label]) -> tuple[int, float]:
    """Whether a candidate at these columns is real, and its weight: none where the labels leave it open."""
    weight = 1.0
    for label in labels:
        overlaps = (
            label.first_line != label.last_line
            or label.start < 0
            or (start < (label.end if label.end > 0 else end) and end > label.start)
        )
        if overlaps and label.credential:
            return 1, 1.0
        weight = 0.0
    return 0, weight


def collect(rows: Rows, texts: Iterable[Source], words: shape.Language, *, plain: bool = False) -> None:
    """Adds every candidate of these texts with its features; of plain texts the labelled secrets alone."""
    matcher = build_matcher([KeywordDetector()])
    for source in texts:
        view = View(source.text)
        chosen = chosen_candidates(view.text, matcher.matches(view).get("keyword", {}))
        if not chosen:
            continue
        path = "" if crc32(source.path.encode("utf-8")) % 10 < PATHLESS else source.path
        page = context.Page(view.text, path, chosen)
        starts = [0]
        for line in view.text.split("\n"):
            starts.append(starts[-1] + len(line) + 1)
        labels: dict[int, list[Label]] = defaultdict(list)
        for label in source.labels:
            if label.real:
                for number in range(label.first_line, label.last_line + 1):
                    labels[number].append(label)
        for candidate in chosen:
            number = bisect_right(starts, candidate.start)
            real, weight = judged(
                candidate.start - starts[number - 1], candidate.end - starts[number - 1], labels.get(number, ())
            )
            if plain and not real:
                continue
            rows.plain.append(plain)
            rows.columns.append(
                [*page.features, *context.features(candidate, page), *shape.features(candidate.value, words)]
            )
            rows.quick.append([*shape.quick(candidate.value, words), *context.quick(candidate)])
            rows.signs.append(tokens(candidate, page))
            rows.real.append(real)
            rows.weight.append(0.0 if plain else weight if source.labels else CLEAN_WEIGHT)
            rows.repository.append(source.repository)
            rows.clean.append(not source.labels)
            rows.line.append((source.path, number))
            rows.key.append(candidate.key)


def table(signs: Sequence[tuple[list[int], ...]], group: int | None) -> csr_matrix:
    """A row of ones a candidate, for one group of signs or for all."""
    places: list[int] = []
    ends = [0]
    for groups in signs:
        places += sorted(set().union(*(groups if group is None else (groups[group],))))
        ends.append(len(places))
    return csr_matrix((np.ones(len(places), np.float32), places, ends), shape=(len(signs), TABLE))


def flat(booster: lightgbm.Booster) -> list[dict[str, Any]]:
    """The trees as plain arrays."""
    out = []
    for info in booster.dump_model()["tree_info"]:
        tree: dict[str, Any] = {"feature": [], "border": [], "branch": [], "leaf": []}

        def walk(node: dict[str, Any], tree: dict[str, Any] = tree) -> int:
            if "leaf_value" in node:
                tree["leaf"].append(float(f"{node['leaf_value']:.5g}"))
                return -len(tree["leaf"])
            at = len(tree["feature"])
            tree["feature"].append(node["split_feature"])
            tree["border"].append(node["threshold"])
            tree["branch"] += [0, 0]
            tree["branch"][2 * at] = walk(node["left_child"])
            tree["branch"][2 * at + 1] = walk(node["right_child"])
            return at

        walk(info["tree_structure"])
        out.append(tree)
    return out


class Trainer:
    """Fits the parts, each judged on repositories that it has not seen.

    Args:
        rows: all candidates.
    """

    def __init__(self, rows: Rows) -> None:
        self.columns = np.array(rows.columns)
        self.quick = np.array(rows.quick)
        self.real = np.array(rows.real)
        self.clean = np.array(rows.clean)
        self.plain = np.array(rows.plain)
        self.signs = table(rows.signs, None)
        self.groups = [table(rows.signs, group) for group in range(len(GROUPS))]
        count = Counter(zip(rows.repository, rows.key, rows.real, strict=True))
        damped = np.array(
            [min(1.0, REPEATS / count[entry]) for entry in zip(rows.repository, rows.key, rows.real, strict=True)]
        )
        self.weight = np.array(rows.weight) * np.where(self.real == 1, np.maximum(damped, 0.15), 1.0)
        self.fold = np.array([sha256(name.encode("utf-8")).digest()[1] % FOLDS for name in rows.repository])

    def linear(self, use: Any) -> Any:
        """The linear model's weights, fitted on these rows."""
        fitted = LogisticRegression(C=0.3, solver="liblinear", max_iter=200, random_state=7)
        return fitted.fit(self.signs[use], self.real[use], sample_weight=self.weight[use]).coef_[0]

    def sums(self, weights: Any) -> Any:
        """Each group's sum, and the whole."""
        parts = np.column_stack([group @ weights for group in self.groups])
        return np.column_stack([parts, parts.sum(1)])

    def unseen(self, fit: Any, score: Any) -> Any:
        """Scores of each fold by what was fitted on the others."""
        out = None
        for fold in range(FOLDS):
            part = score(fit((self.fold != fold) & (self.weight > 0)))
            out = np.zeros_like(part) if out is None else out
            out[self.fold == fold] = part[self.fold == fold]
        return out

    def trees(self, columns: Any, options: dict[str, Any], count: int, use: Any) -> lightgbm.Booster:
        """Trees, fitted on these rows."""
        return lightgbm.train(options, lightgbm.Dataset(columns[use], self.real[use], weight=self.weight[use]), count)


def border(scores: Any, clean_rows: Any, megabytes: float, per_mb: float) -> float:
    """The lowest score at which the clean texts give at most so many alarms a megabyte."""
    alarms = np.sort(scores[clean_rows])[::-1]
    allowed = int(per_mb * megabytes)
    return float(alarms[allowed]) if allowed < len(alarms) else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, help="keeps the features between runs")
    parser.add_argument("--out", type=Path, default=ROOT / "src/mohist/guard/data" / model.DATA)
    options = parser.parse_args()
    if options.cache and options.cache.exists():
        words, pairs, rows, megabytes = pickle.loads(options.cache.read_bytes())
    else:
        texts = [*sources(options.folder / "creddata", held=False), *clean(options.folder / "clean/train")]
        words, pairs = language(texts)
        rows, usual = Rows(), shape.Language(frozenset(words), pairs)
        collect(rows, texts, usual)
        if (options.folder / "plain").exists():
            collect(rows, sources(options.folder / "plain", held=False), usual, plain=True)
        megabytes = sum(len(source.text) for source in texts if not source.labels) / 1e6
        if options.cache:
            options.cache.write_bytes(pickle.dumps((words, pairs, rows, megabytes)))
    trainer = Trainer(rows)
    labelled = ~trainer.clean & ~trainer.plain
    real = labelled & (trainer.real == 1)
    quick_scores = trainer.unseen(
        lambda use: trainer.trees(trainer.quick, QUICK, QUICK_TREES, use),
        lambda fitted: fitted.predict(trainer.quick, raw_score=True),
    )
    cut = float(np.quantile(quick_scores[real], QUICK_LOST))
    # The trees learn from what reaches them, and from as much again that nearly does.
    reached = (trainer.weight > 0) & (quick_scores >= cut - QUICK_MARGIN)
    sums = trainer.unseen(trainer.linear, trainer.sums)
    columns = np.column_stack([trainer.columns, sums])
    scores = trainer.unseen(
        lambda use: trainer.trees(columns, FULL, FULL_TREES, use & reached), lambda fitted: fitted.predict(columns)
    )
    scores = np.where(quick_scores >= cut, scores, 0.0)
    masking = border(scores, trainer.clean, megabytes, MASKING_ALARMS_PER_MB)
    blocking = max(border(scores, trainer.clean, megabytes, BLOCKING_ALARMS_PER_MB), masking + 0.01)
    kept = real & (scores >= masking)
    print(
        f"{len(rows.real)} candidates, {int(trainer.real.sum())} real; clean {megabytes:.1f} MB; first filter keeps {float((quick_scores >= cut).mean()):.3f}"
    )
    for name, at in (("masking", masking), ("blocking", blocking)):
        above = scores >= at
        print(
            f"{name} at {at:.4f}: candidates found {above[real].mean():.3f} (plain {above[trainer.plain].mean():.3f}), right {trainer.real[above & labelled].mean():.3f}, clean alarms a MB {(above & trainer.clean).sum() / megabytes:.2f}"
        )
    everything = trainer.weight > 0
    fitted = trainer.trees(columns, FULL, FULL_TREES, reached)
    quick = trainer.trees(trainer.quick, QUICK, QUICK_TREES, everything)
    cut = float(np.quantile(quick.predict(trainer.quick, raw_score=True), 1 - QUICK_KEPT))
    partial = fitted.predict(columns, raw_score=True, num_iteration=EARLY)
    floor = float(np.quantile(partial[kept], 0.001)) - 0.5
    weights = trainer.linear(everything)
    scale = float(np.abs(weights).max()) / 32767
    shares = fitted.predict(columns)
    picked = np.argsort(shares)[np.linspace(len(shares) // 2, len(shares) - 1, GOLDEN).astype(int)]
    data = {
        "format": model.FORMAT,
        "version": "",
        "notice": "Trained on the labels of Samsung/CredData (Apache-2.0); holds numbers and usual words, no text of it.",
        "trained_on": f"{len(set(rows.repository))} repositories and packages, {len(rows.real)} candidates",
        "names": list(model.NAMES),
        "quick_names": list(model.QUICK_NAMES),
        "masking": round(masking, 5),
        "blocking": round(blocking, 5),
        "quick": {"early": QUICK_TREES, "floor": -1e9, "cut": round(cut, 4), "trees": flat(quick)},
        "full": {"early": EARLY, "floor": round(floor, 4), "trees": flat(fitted)},
        "golden": [
            {
                "row": {str(at): float(columns[number, at]) for at in np.flatnonzero(columns[number])},
                "share": round(float(shares[number]), 6),
            }
            for number in picked
        ],
        "weights_scale": scale,
        "weights": b64encode(np.round(weights / scale).astype("<i2").tobytes()).decode("ascii"),
        "pairs": b64encode(pairs).decode("ascii"),
        "words": " ".join(sorted(words)),
    }
    data["version"] = sha256(json.dumps(data, sort_keys=True).encode("utf-8")).hexdigest()[:12]
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{options.out}: {options.out.stat().st_size} bytes, version {data['version']}")


if __name__ == "__main__":
    main()
