"""Closed classes of English words, which tell who speaks of what, and how.

What a word means for the sound stands in `vocabulary.toml`; here is what it does in a sentence.
"""

from __future__ import annotations

COPULAS = frozenset({"is", "are", "was", "were"})
"""Words that tell how something is."""

AUXILIARIES = COPULAS | {"do", "does", "did", "has", "had", "have", "would", "am"}
"""Verbs with which a question may open."""

STATING = COPULAS | {"it is", "they are", "that is", "this is", "being"}
"""The same, together with what it is told of."""

STATES = COPULAS | {"am", "will", "going", "has", "had", "have"}
"""Words of which one stands in every telling of how somebody fares."""

WANTING = frozenset({"want", "need", "i want", "i need"})
"""Verbs with which somebody asks for a thing."""

RECEIVING = WANTING | {
    "get", "have", "hear", "want to hear", "can i have", "could i have", "may i have",
    "let us have", "lets have",
}  # fmt: skip
"""What somebody says who wants to have something where it is not now."""

PLANNING = frozenset({
    "i want to", "i need to", "we want to", "i would like to", "i would love to", "trying to",
    "i am trying to",
})  # fmt: skip
"""What opens a telling of what somebody is up to."""

MEANT = frozenset({
    "i mean", "i meant", "meant", "i said", "i mean to say", "i told you to", "i asked you to",
    "i asked for", "i asked you for",
})  # fmt: skip
"""What says that something else was meant than was said or done."""

ASSERTING = COPULAS | {
    "would", "would be", "will", "will be", "has", "does", "makes", "might", "can be", "may",
    "could",
}  # fmt: skip
"""Verbs that say something of what stands before them."""

MODALS = frozenset({
    "can", "could", "should", "must", "would", "need", "needs", "have", "has", "ought", "might",
    "do",
})  # fmt: skip

PERSONS = frozenset({
    "i", "we", "he", "she", "you", "nobody", "everyone", "everybody", "someone", "somebody", "who",
    "anyone", "anybody", "people", "others", "some", "they",
})  # fmt: skip
"""Those who may do or say something."""

ANYBODY = frozenset({
    "anyone", "anybody", "everyone", "everybody", "someone", "somebody", "nobody", "who",
})  # fmt: skip
"""Persons who are nobody in particular."""

NARRATORS = frozenset({"i", "we", "he", "she", "they"})
"""Those of whom something is told."""

OWNERS = NARRATORS | {"i have", "we have", "they have", "you have", "he has", "she has"}
"""Those who have something, or have done something."""

DOERS = OWNERS | {"you", "somebody", "someone"}
"""Those who did something that is told."""

SELVES = frozenset({"i am", "we are", "he is", "she is", "they are"})
"""What opens a telling of who or how somebody is."""

OWNING = frozenset({"my", "our", "his", "her", "their"})
"""Whose something is."""

FELLOWS = frozenset({
    "friend", "buddy", "mate", "guy", "neighbour", "neighbor", "roommate", "flatmate", "pal",
    "team",
})  # fmt: skip
"""People who are spoken of, one at a time."""

AUDIENCES = (PERSONS - {"i", "we"}) | {
    "most", "many", "listeners", "kids", "friends", "fans", "producers", "engineers", "bands",
    "folks",
}  # fmt: skip
"""People who have a taste of their own."""

WISHING = frozenset({
    "want", "wants", "need", "needs", "like", "love", "prefer", "wish", "hope", "think", "guess",
    "feel", "reckon", "believe", "suggest", "meant", "mean", "said", "say", "says", "would",
    "should", "must", "wanted", "wonder", "missing", "liked", "wondering", "thinking", "hoping",
    "looking",
})  # fmt: skip
"""Verbs with which somebody says what he would have."""

THINKING = frozenset({
    "say", "think", "agree", "believe", "know", "hear", "notice", "guess", "imagine", "remember",
    "recommend", "suggest", "prefer", "feel", "find", "tell", "consider",
})  # fmt: skip
"""Verbs of which a question asks for an answer: "would you say …"."""

FEELING = frozenset({
    "like", "love", "prefer", "hate", "dislike", "enjoy", "loathe", "detest", "likes", "loves",
    "prefers", "hates", "enjoys", "liked", "loved", "preferred", "hated",
})  # fmt: skip
"""Verbs that tell a taste."""

PERCEIVING = frozenset({"hear", "see", "feel", "tell", "make"})
"""What somebody can do without wanting anything: "now I can hear the vocals"."""

THIRD_PERSONS = frozenset({
    "cuts", "boosts", "raises", "lowers", "adds", "pans", "mutes", "removes", "makes", "splits",
    "reduces", "compresses", "increases", "decreases", "puts", "turns", "likes", "loves",
})  # fmt: skip
"""Verbs that tell what somebody or something does."""

ADVERBS = frozenset({
    "was", "were", "really", "just", "absolutely", "truly", "honestly", "do", "actually", "also",
    "so", "kind", "of", "still", "only", "not", "finally", "rather", "now", "then", "maybe",
    "perhaps", "please", "am", "are", "have", "will",
})  # fmt: skip
"""What may stand between a person and the verb."""

OTHER_TIMES = frozenset({
    "yesterday", "tomorrow", "later", "usually", "normally", "always", "sometimes", "often",
    "rarely", "never", "next time", "last time", "every time", "each time", "someday", "one day",
    "whenever",
})  # fmt: skip
"""When something is said to be done that is not now."""

SUPPOSING = (
    "imagine ", "picture ", "suppose ", "supposed ", "supposing ", "say the ", "had i ", "had you ",
    "had we ", "there was ", "there were ", "there will ", "back then ",
    "every time ", "each time ", "whenever ", "next time ", "any time ",
)  # fmt: skip
"""What opens something that is only thought of, or past."""

DENYING = (
    "not that ", "it is not that ", "it is not like ", "not like i ", "i am not saying ",
)  # fmt: skip
"""What opens something that is denied: "it's not that the vocals are too loud"."""

PREPOSITIONS = frozenset({
    "on", "from", "to", "onto", "into", "over", "over the", "under", "above", "below", "behind",
    "beneath", "underneath", "against", "at", "by", "during", "outside", "around", "before",
    "after",
})  # fmt: skip
"""What puts something somewhere."""

CONTENT = (
    "i like it", "i love it", "i prefer it", "it is fine", "that is fine", "i am fine",
    "i am happy", "i do not mind", "it works", "i am ok", "i am okay", "it is ok", "it is okay",
    "who cares",
)  # fmt: skip
"""What says behind a "but" that nothing is to be changed."""

ALREADY_WANTED = ("what i wanted", "what i needed", "what we needed", "what i asked for")
"""What comments on something that is done: "great, even louder drums, just what I wanted"."""

REFUSALS = frozenset({"no", "nope", "nah"})
"""A plain no."""

EASING = frozenset({
    "back off", "dial back", "scale back", "ease off", "ease", "ease up", "ease back", "tone down",
    "pull back", "rein in", "dial it back", "dial them back", "scale it back", "roll it back a bit",
    "tone it down", "pull it back", "pull them back", "dial it down",
})  # fmt: skip
"""Verbs that ask for less of what was just spoken of, also where they do not name it."""

CURING = frozenset({
    "tame", "reduce", "ease", "soften", "soften up", "lessen", "ease off", "calm down",
    "smooth out",
})  # fmt: skip
"""Verbs that take the edge off a fault."""

LEVELS = frozenset({
    "loud", "quiet", "hot", "prominent", "high", "low", "weak", "strong", "upfront",
})  # fmt: skip
"""How loud something is told to be."""

WHOLLY = frozenset({
    "full", "fully", "entirely", "completely", "totally", "all the way", "all of the way",
    "100 percent", "100",
})  # fmt: skip
"""To the end of what there is."""
