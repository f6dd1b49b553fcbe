"""Deterministic guards around proposals: what is negated, imagined, asked about or told is never carried out.

They stand beside the trained head: a proposal needs both. Words are checked on the person's own turn only.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Verdict = Literal["imagined", "negated", "asked", "told"]

_IMAGINED: Final = re.compile(
    r"\b(?:what if|what would|what will|what happens|what might|would happen|would it|would that|would there|suppose"
    r"|supposing|imagine|imagining|hypothetical\w*|pretend|assume|assuming|in theory|theoretically|simulate|predict"
    r"|forecast|thinking about|think about|considering|consider|wondering|wonder|whether|should (?:i|we|one|you|it)"
    r"|is it (?:a good idea|wise|worth|safe|ok|okay|smart|better|possible)|good idea|do you think|could it help"
    r"|would \w+ing|if (?:i|we|you|one|someone|somebody|the|it|they|cell|sector|that|this|all|anyone|only)\b"
    r"|let'?s say|say (?:i|we|you) |were to|might|maybe|perhaps|how (?:would|will|might)|in case|unless|effect of"
    r"|impact of|consequence\w*|risk\w*|any point|worth)"
)
_NEGATED: Final = re.compile(
    r"\b(?:do ?n[o']?t|dont|does ?n[o']?t|don ?t|never|no need|need ?not|needn ?'?t|without|should ?n[o']?t|shouldnt"
    r"|must ?n[o']?t|mustnt|can ?'?t|cannot|won ?'?t|avoid|refrain|instead of|rather not|rather than|nobody|no one"
    r"|not (?:to|yet|now|lower|raise|lock|unlock|change|touch|undo|increase|reduce|set|tilt|going|ready|allowed|want)"
    r"|leave .{1,40}(?:alone|as|unchanged|untouched|where|at|like)|keep .{0,40}(?:as (?:it|they)|unchanged|hands"
    r"|the way|locked|unlocked|at)|keep your hands|hands off|stop|forget (?:it|about|that|the|what)|hold off|hold on"
    r"|wait"
    r"|scratch that|nevermind|never mind|by no means|under no circumstances|not supposed|against|refuse|forbid"
    r"|prevent|except|anything but|stay|remain|unless|until|nothing)\b"
)
_POLITE: Final = re.compile(
    r"^(?:(?:hey|hi|ok|okay|so|and|now|well|please|twin|alright|then|also|right|good|hello)[ ,]+)*"
    r"(?:can|could|would|will) (?:you|u|we|somebody|someone|i (?:ask you|get you|have))\b"
)
_ASKED: Final = re.compile(
    r"^(?:(?:hey|hi|ok|okay|so|and|now|well|please|twin|alright|then|but|hello|tell me|show me|explain)[ ,]+)*"
    r"(?:who|whom|whose|why|when|where|what|which|how|did|does|was|were|is|are|has|am|isn|wasn|aren|should"
    r"|may|might|must|(?:do|have|had) (?:i|we|you|they|he|she|it|the|any|all|some|people|users|cells?|sites?))\b"
)
_TOLD: Final = re.compile(
    r"\b(?:i|we|he|she|they|you|someone|somebody|anyone|colleague|operator|student|engineer|technician|team|shift)"
    r"(?:'ve|'d| have| has| had| just| already| once| always| usually| never| also)* (?:lowered|raised|locked|unlocked"
    r"|reduced|increased|changed|decreased|boosted|tilted|uptilted|downtilted|undid|reverted|moved|turned|switched"
    r"|cut|dropped|rolled|took|blocked|disabled|enabled|activated|deactivated)\b"
    r"|\b(?:was|were|been|got|being|gets|is|are) (?:\w+ )?(?:lowered|raised|locked|unlocked|reduced|increased|changed"
    r"|decreased|boosted|tilted|reverted|undone|set|turned|switched|blocked|disabled|enabled)\b"
    r"|\b(?:last time|yesterday|last week|last night|this morning|ago)\b.*"
    r"\b(?:lowered|raised|locked|reduced|increased)\b"
    r"|\b(?:says|said|mentions|mentioned|reads|wrote|asked me|told me|told us|wants me|explain|teach|teaches|define"
    r"|meaning|means|manual|textbook|lecture|exam|homework|quiz|translate|spell|rhyme|poem|joke|story|song)\b"
)
_VERBS: Final[dict[str, re.Pattern[str]]] = {
    "set_tilt": re.compile(
        r"\b(?:set|put|make|change|adjust|bring|move|get|give|add|take|tilt\w*|up ?-?tilt\w*|down ?-?tilt\w*|raise"
        r"|lower"
        r"|increase|decrease|reduce|drop|lift|point|aim|bend|nudge|push|pull|turn|steer|angle|more|less|want|need|let"
        r"|configure|use|go|shift|tip|crank|bump|dial|swing|direct|have|steeper|flatter|down|up|another|further"
        r"|plus|minus)\b"
    ),
    "set_power": re.compile(
        r"\b(?:set|put|make|change|adjust|bring|move|get|give|add|take|raise|lower|increase|decrease|reduce|drop|lift"
        r"|boost|cut|turn|crank|bump|dial|push|pull|more|less|want|need|let|configure|use|go|halve|double|limit|trim|ramp"
        r"|amplify|run|send|transmit|radiate|power|tx|cap|drive|operate|pump|shave|up|down|have|another|strengthen|weaken|back|plus|minus|knock|step)\b"
    ),
    "lock_cell": re.compile(
        r"\b(?:lock|block|shut|close|disable|deactivate|take|bar|turn|switch|put|set|bring|kill|power|pull|stop|suspend"
        r"|remove|make|want|need|have|get|off|admin\w*|lock\w+|shut\w+|disabl\w+|block\w+|sleep|ground)\b"
    ),
    "unlock_cell": re.compile(
        r"\b(?:unlock|unblock|open|enable|activate|reactivate|bring|turn|switch|put|restore|set|release|return|start|resume"
        r"|unlock\w+|enabl\w+|active|lift|remove|serve|available|let|wake|make|want|need|have|get|re-?enable|re-?open|on|back|free|unbar|power|take)\b"
    ),
    "undo_change": re.compile(
        r"\b(?:undo|revert|roll ?back|rollback|rolling|roll|take|put|reverse|restore|back|cancel|withdraw|reset|return"
        r"|go|unmake|backtrack|un-?do\w*|bring|throw|retract|set|kill|rid|before|drop|scrap|discard|nullify|void)\b"
    ),
}


_CONTRARY: Final[dict[str, re.Pattern[str]]] = {
    "lock_cell": re.compile(
        r"\b(?:un-?lock\w*|unblock\w*|re-?open\w*|(?:back )?on\b(?! (?:cell|sector|s ?\d|\d|the mast))|restore|resume)"
        r"|\b(?:energy|power)[ -]?sav"
    ),
    "unlock_cell": re.compile(
        r"\b(?<!un)(?<!un-)(?<!the )(?:lock|block|shut|kill|disable|deactivate)\b|\boff\b|\b(?:energy|power)[ -]?sav"
    ),
}
"""Words that mean the opposite change, or another switch; with one of them the change is never proposed."""


def verdict(text: str) -> Verdict | None:
    """Return why a sentence must not be carried out, None when nothing speaks against it."""
    plain = " ".join(text.lower().replace("’", "'").split())
    if _NEGATED.search(plain):
        return "negated"
    polite = _POLITE.search(plain)
    if _IMAGINED.search(plain):
        return "imagined"
    if polite is None and (_ASKED.search(plain)):
        return "asked"
    if _TOLD.search(plain if polite is None else plain[polite.end() :]):
        return "told"
    return None


def has_verb(tool: str, text: str) -> bool:
    """Return whether the sentence has a word that can ask for this change and none that asks for its opposite."""
    plain = text.lower()
    contrary = _CONTRARY.get(tool)
    if contrary is not None and contrary.search(plain):
        return False
    pattern = _VERBS.get(tool)
    return pattern is None or pattern.search(plain) is not None
