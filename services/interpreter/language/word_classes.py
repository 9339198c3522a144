"""Closed classes of English words, which tell who speaks of what, and how.

What a word means for the sound stands in `vocabulary.toml`; here is what it does in a sentence.
"""

from __future__ import annotations

COPULAS = frozenset({"is", "are", "was", "were"})
"""Words that tell how something is."""

AUXILIARIES = COPULAS | {"do", "does", "did", "has", "had", "have", "would", "am"}
"""Verbs with which a question may open."""

WANTING = frozenset({"want", "need", "i want", "i need"})
"""Verbs with which somebody asks for a thing."""

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
    "had we ", "there was ", "there were ", "there will ", "not that ", "it is not that ",
    "it is not like ", "not like i ", "i am not saying ", "back then ",
)  # fmt: skip
"""What opens something that is only thought of, denied, or past."""

PREPOSITIONS = frozenset({
    "on", "from", "to", "onto", "into", "over", "over the", "under", "above", "below", "behind",
    "beneath", "underneath", "against", "at", "by", "during", "outside", "around", "before",
    "after",
})  # fmt: skip
"""What puts something somewhere."""
