"""A model of names that is a spaCy pipeline: a folder on this machine, or a package that is installed here.

Nothing is fetched, and no code of the pipeline's package is run: its data alone is read, and of its parts only those that
mark names. spaCy itself is an extra (`pip install "mohist[names]"`), loaded when a pipeline is.
"""

from __future__ import annotations

import importlib.util
import json
import re
import threading
import warnings
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from mohist.guard.errors import GuardDataError
from mohist.guard.personal.named import Named

SORTS: Final[Mapping[str, Literal["name", "place", "address"]]] = {
    **dict.fromkeys(("PERSON", "PER", "PERSNAME", "PRS", "PS", "NAME"), "name"),
    **dict.fromkeys(("GPE", "LOC", "FAC", "LOCATION", "FACILITY", "PLACENAME", "GEOGNAME", "GPE_LOC", "LC"), "place"),
    **dict.fromkeys(("ADDRESS", "STREET_ADDRESS"), "address"),
}
"""What the labels of spaCy's own pipelines mean (https://spacy.io/models, read 2026-11): OntoNotes', WikiNER's, and those of
the Korean, Polish and Scandinavian ones; and two that people who train their own are likely to choose."""

_MARKING: Final = frozenset({"ner", "beam_ner", "entity_ruler", "span_ruler"})
"""Parts that mark names."""
_FEEDING: Final = frozenset({"tok2vec", "transformer", "curated_transformer"})
"""Parts that these listen to. All others are left out: they cost time, and one that asks a model elsewhere would send the text there."""
_PACKAGE: Final = re.compile(r"[A-Za-z]\w*\Z")
_MAX_META_BYTES: Final = 16 * 1024 * 1024
_TRIAL: Final = "Yesterday Maria Keller moved to 12 Mill Lane, Leeds. 王小明住在北京市朝阳区建国路88号。"
_MEND: Final = (
    "Name a spaCy pipeline's folder, or a package installed beside Mohist. spaCy publishes its pipelines as wheels with its releases, "
    "not on PyPI, where names like theirs belong to strangers: put the wheel on your mirror and install it with pip."
)


class Pipeline:
    """Fulfils `NameModel`.

    Args:
        nlp: spaCy's object; used by one thread at a time.
        version: of the pipeline and of spaCy.
    """

    def __init__(self, nlp: Any, version: str) -> None:
        self._nlp = nlp
        self._version = version
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        return self._version

    def named(self, text: str) -> Sequence[Named]:
        """See `NameModel.named`."""
        # A pipeline learns each new word by heart; the zone has it forget them again (spaCy 3.8), and allows one user at a time.
        with self._lock, self._nlp.memory_zone():
            return [
                Named(span.start_char, span.end_char, SORTS[span.label_.upper()])
                for span in self._nlp(text).ents
                if span.label_.upper() in SORTS
            ]


def load_pipeline(reference: str) -> Pipeline:
    """Loads a pipeline, which takes about a second, and tries it on a sentence.

    Args:
        reference: an absolute path of a folder, or the name of an installed package.

    Raises:
        GuardDataError: there is none, it is no pipeline or one of another spaCy, it marks no names, or spaCy is not installed.
    """
    folder = _folder(reference)
    meta = _meta(folder, reference)
    if importlib.util.find_spec("spacy") is None:
        raise GuardDataError(
            f"The model of names {reference!r} is a spaCy pipeline, and spaCy is not installed.",
            'Install it from your mirror: pip install "mohist[names]".',
        )
    with warnings.catch_warnings():
        # What spaCy warns of is checked here, and told as an error.
        warnings.simplefilter("ignore")
        try:
            spacy = importlib.import_module("spacy")
            _check_version(meta, spacy.__version__, reference)
            factories = _factories(spacy, folder)
            left_out = [name for name, factory in factories.items() if factory not in _MARKING | _FEEDING]
            nlp = spacy.load(folder, exclude=left_out)
            marking = [name for name, factory in factories.items() if factory in _MARKING and name in nlp.pipe_names]
            labels = {label for name in marking for label in nlp.get_pipe(name).labels}
        except GuardDataError:
            raise
        except Exception as error:
            # A plug-in's boundary, as below: a pipeline can fail in any way.
            raise GuardDataError(
                f"The model of names {reference!r} can't be loaded: {type(error).__name__}: {_first_line(error)}", _MEND
            ) from error
        if not any(label.upper() in SORTS for label in labels):
            raise GuardDataError(
                f"The model of names {reference!r} marks no names: its labels are {', '.join(sorted(labels)) or 'none'}.",
                f"Labels that are understood: {', '.join(SORTS)}.",
            )
        pipeline = Pipeline(nlp, _version(meta, spacy.__version__))
        try:
            pipeline.named(_TRIAL)
        except Exception as error:
            raise GuardDataError(
                f"The model of names {reference!r} fails on a sentence: {type(error).__name__}: {_first_line(error)}",
                _MEND,
            ) from error
    return pipeline


def _folder(reference: str) -> Path:
    if Path(reference).is_absolute():
        return Path(reference)
    found = importlib.util.find_spec(reference) if _PACKAGE.match(reference) else None
    if found is None or found.origin is None or not found.has_location:
        raise GuardDataError(
            f"There is no folder and no installed package {reference!r} for the model of names.", _MEND
        )
    package = Path(found.origin).parent
    if (package / "config.cfg").exists():
        return package
    # As `spacy package` lays it out.
    return next((path.parent for path in sorted(package.glob("*/config.cfg"))), package)


def _meta(folder: Path, reference: str) -> Mapping[str, Any]:
    if not folder.is_dir():
        raise GuardDataError(f"There is no folder {reference!r} for the model of names.", _MEND)
    try:
        with (folder / "meta.json").open("rb") as file:
            meta = json.loads(file.read(_MAX_META_BYTES))
        has_config = (folder / "config.cfg").is_file()
    except (OSError, ValueError) as error:
        raise GuardDataError(f"The model of names {reference!r} has no meta.json that can be read.", _MEND) from error
    if not isinstance(meta, dict) or not has_config:
        raise GuardDataError(f"The model of names {reference!r} is no spaCy pipeline: it has no config.cfg.", _MEND)
    return meta


def _check_version(meta: Mapping[str, Any], installed: str, reference: str) -> None:
    wanted = str(meta.get("spacy_version", ""))
    try:
        fits = SpecifierSet(wanted).contains(installed, prereleases=True)
    except InvalidSpecifier:
        fits = False
    if not fits:
        raise GuardDataError(
            f"The model of names {reference!r} was made for spaCy {wanted or 'of an unknown version'}; installed is {installed}.",
            "Take the pipeline's release for this spaCy, or the spaCy that it was made for.",
        )


def _factories(spacy: Any, folder: Path) -> dict[str, str]:
    """By the name of a part in the pipeline, what makes it."""
    config = spacy.util.load_config(folder / "config.cfg")
    return {name: str(part.get("factory", part.get("source", ""))) for name, part in config["components"].items()}


def _version(meta: Mapping[str, Any], installed: str) -> str:
    # One that was trained again has other figures in its description, if not another version.
    digest = sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()[:8]
    return f"{meta.get('lang')}_{meta.get('name')}-{meta.get('version')}-{digest}-spacy-{installed}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")[:300]
