"""What the name and the place of a file in a BIDS dataset say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

# Entities whose values are numbers: run-1 is run-01.
NUMBERS = frozenset({"run", "echo", "flip", "inv", "split", "chunk"})
# Entities that say what was made of an image, or how; the others tell images of one session apart.
OF_DERIVATIVES = frozenset(
    {"sub", "ses", "label", "desc", "space", "res", "den", "seg", "atlas", "hemi", "from", "to", "mode", "mod"}
)
LABEL = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class FileName:
    """A file's entities (participant and session as its folders have them), its suffix (all behind the last entity) and
    its scan's name, which is the file's without suffix; `problem` says why it is not clear whose it is, or "".
    `also`: participant and session that its name gives, where these are others than those of its folders."""

    path: str
    entities: Mapping[str, str]
    suffix: str
    scan: str
    problem: str = ""
    also: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def is_read(self) -> bool:
        """Whether it is an image that is read here, whosever it is."""
        return self.name.endswith((".nii", ".nii.gz")) and not self.name.startswith(".")

    @property
    def owner(self) -> tuple[str, str]:
        """Participant and session ("": none)."""
        return self.entities["sub"], self.entities.get("ses", "")

    def has_suffix(self, suffix: str) -> bool:
        return self.suffix == suffix or self.suffix.endswith(f"_{suffix}")


def read_name(path: str, folder: str = "") -> FileName:
    """Read the path of an image, relative to `folder` of its dataset: `sub-<label>/[ses-<label>/]...`."""
    participant, *between, name = path.split("/")
    session = next((part for part in between if part.startswith("ses-")), "")
    stem, problem = _stem(name)
    given: dict[str, str] = {}
    tokens, suffix = [], []
    for token in stem.split("_"):
        key, dash, value = token.partition("-")
        if not dash:
            suffix.append(token)
            continue
        if given.setdefault(key, value) != value:
            problem = problem or f"its name says {key} twice"
        tokens += [text for text in [*suffix, token] if text]
        suffix = []
    owner = {"sub": clean_label(participant[4:])}
    if session or "ses" in given:
        owner["ses"] = clean_label(session.removeprefix("ses-") or given["ses"])
    named = clean_label(given.get("sub", "")), clean_label(given.get("ses", "")) or owner.get("ses", "")
    also = named if "sub" in given and named != (owner["sub"], owner.get("ses", "")) else None
    problem = problem or _owner_problem(participant, session, given)
    if not suffix:
        problem = problem or "its name has no suffix at the end"
    whose = [f"{key}-{value}" for key, value in owner.items()]
    others = [token for token in tokens if not token.startswith(("sub-", "ses-"))]
    # Of several words behind the last entity only the last is what the file shows.
    scan = "_".join([*whose, *others, *(word for word in suffix[:-1] if word)])
    path = f"{folder}/{path}" if folder else path
    return FileName(path, {**given, **owner}, "_".join(suffix), scan, problem, None if _unclear(participant) else also)


def clean_label(text: str) -> str:
    """What BIDS allows in a label: letters and digits."""
    return re.sub(r"[^A-Za-z0-9]", "", text)


def same_entity(key: str, one: str, other: str) -> bool:
    """Whether two values of an entity are the same."""
    if key in NUMBERS and one.isdigit() and other.isdigit():
        return int(one) == int(other)
    return one == other


def agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether no entity that tells images apart is in both with another value."""
    return all(
        same_entity(key, value, other[key]) for key, value in one.items() if key in other and key not in OF_DERIVATIVES
    )


def _unclear(participant: str) -> bool:
    return not (participant.startswith("sub-") and LABEL.fullmatch(participant[4:]))


def folder_problem(participant: str) -> str:
    """Why the name of a participant's folder is not understood, or ""."""
    return "a participant's folder is named sub- and letters and digits only" if _unclear(participant) else ""


def _owner_problem(participant: str, session: str, given: Mapping[str, str]) -> str:
    if problem := folder_problem(participant):
        return f"its folder {participant} is not understood: {problem}"
    if "sub" not in given:
        return "its name does not begin with that of its participant's folder"
    if given["sub"] != participant[4:]:
        return "its name gives another participant than its folder"
    label = session[4:] or given.get("ses", "0")
    if not LABEL.fullmatch(label):
        return "its session has more than letters and digits in its name"
    if session and given.get("ses", label) != label:
        return "its name gives another session than its folder"
    return ""


def _stem(name: str) -> tuple[str, str]:
    """A file's name without its ending, and why it is not read."""
    stem, *endings = name.split(".")
    ending = f".{endings[-1]}" if endings else ""
    if name.endswith((".nii", ".nii.gz")):
        # Other dots belong to a label, as in acq-0.9mm.
        problem = "" if not name.startswith(".") else "hidden file"
        return name.removesuffix(".gz").removesuffix(".nii"), problem
    if name.lower().endswith((".nii", ".nii.gz")):
        return name[: name.lower().index(".nii")], "its ending is not in lower case"
    return stem, f"its format ({ending}) is not read here; convert it to .nii.gz"
