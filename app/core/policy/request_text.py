"""What a request asks for, without what it quotes and without every sentence that has a negation in it.

A file that is named only in what is left out was not asked for: "Do not touch AGENTS.md". Which words a negation is
about is not worked out, so too much is left out rather than too little.
"""

import re
from collections.abc import Iterator
from typing import Final

_NEGATION: Final = re.compile(
    r"""
    (?<![\w/.-])(?:
        not | \w+n['\u2019]t | (?:do|does|did|should|must|may|can|need|wo|would|could)nt | cannot | never | nor
      | neither | without | except(?:ing|ion|ions)? | exclud(?:e|es|ed|ing)
      | (?:other|rather)[ ]than | apart[ ]from | instead[ ]of | avoid(?:s|ing)? | ignor(?:e|es|ed|ing) | skip(?:s|ping)?
      | omit(?:s|ting)? | refrain | leav(?:e|es|ing) | un(?:touched|changed|modified|edited) | intact
      | as[ ](?:(?:it[ ])?is|they[ ]are) | no[ ](?:\w+[ ])?(?:changes?|edits?|modifications?|updates?)
      | out[ ]of[ ]scope | off[ -]limits | non-?goals? | hands[ ]off | (?:stay|keep)(?:[ ]\w+)?[ ](?:away|out|off|clear)
      | forbidden | prohibited | read[ -]only
    )(?![\w/-]|\.\w)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MEANS_THE_LAST: Final = re.compile(
    r"\b(?:touch|change|edit|modify|update|alter|leave|keep|delete|remove)\s+(?:it|them|this|that|these|those)\b",
    re.IGNORECASE,
)
_HEADING: Final = re.compile(r"\s{0,3}#{1,6}\s")
_ITEM: Final = re.compile(r"\s*(?:[-*+\u2022]|\d{1,9}[.)])\s")
_SENTENCE_END: Final = re.compile(
    r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)(?<!\bcf)(?<!\bincl)[.!?]['\")\]*_]*\s+", re.IGNORECASE
)


def affirmative_text(request: str) -> str:
    """The sentences that count, each on a line. A negation in a heading counts for all below it, and one before a colon
    for the list that follows. "Leave it alone" and the like take the sentence before along."""
    kept: list[str] = []
    is_negated_section = is_negated_list = False
    for block in _blocks(request):
        if _HEADING.match(block):
            is_negated_section = _NEGATION.search(block) is not None
        is_negated_list = is_negated_list and _ITEM.match(block) is not None
        if is_negated_section or is_negated_list:
            continue
        for sentence in _SENTENCE_END.split(block):
            is_negated = _NEGATION.search(sentence) is not None
            if not is_negated:
                kept.append(sentence)
            elif kept and _MEANS_THE_LAST.search(sentence):
                kept.pop()
            is_negated_list = is_negated and sentence.rstrip("*_ ").endswith(":")
    return "\n".join(kept)


def _blocks(request: str) -> Iterator[str]:
    """Headings, items of lists and paragraphs, each on one line; no quotes."""
    lines: list[str] = []
    for line in request.splitlines():
        is_quote = line.lstrip().startswith(">")
        if lines and (is_quote or not line.strip() or _HEADING.match(line) or _ITEM.match(line)):
            yield " ".join(lines)
            lines = []
        if line.strip() and not is_quote:
            lines.append(line.rstrip())
        if lines and _HEADING.match(line):
            yield lines.pop()
    if lines:
        yield " ".join(lines)
