"""The questions, and the words that answer them. Two are answered with a duration, of which rules see the band.

A band is named by its word; `freshness` of 0 s is written `now`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

#: A transform job is not over sooner: its instances take minutes to start (legality warns of faster rates too).
JOB = timedelta(minutes=10)


@dataclass(frozen=True)
class Question:
    """What is asked. `choices` are words with their meanings; those of a question with `bands` name its durations.

    `bands` are upper bounds, exclusive, in the order of the choices; the last choice has none. `samples` are durations
    that stand for the bands.
    """

    name: str
    asks: str
    choices: Mapping[str, str]
    bands: tuple[timedelta, ...] = ()
    samples: tuple[timedelta, ...] = ()

    def choice(self, answer: str | timedelta) -> str:
        """Return the word of an answer: itself, or the band of a duration."""
        if not isinstance(answer, timedelta):
            return answer
        above = sum(answer >= bound for bound in self.bands)
        return list(self.choices)[above]

    def answer(self, choice: str) -> str | timedelta:
        """Return an answer that means a choice."""
        return dict(zip(self.choices, self.samples, strict=True))[choice] if self.samples else choice


_ALL = (
    Question(
        "freshness",
        "How old may a prediction be when it is used?",
        {
            "now": "it must hold what is known at the moment of asking",
            "minutes": "less than ten minutes",
            "hours": "less than a day",
            "days": "a day or more",
        },
        (timedelta(milliseconds=1), JOB, timedelta(days=1)),
        (timedelta(0), timedelta(minutes=5), timedelta(hours=6), timedelta(days=1)),
    ),
    Question(
        "input",
        "Where do the inputs come from?",
        {
            "stored": "all of them lie in the data platform beforehand",
            "mostly-stored": "nearly all lie there; some keys are new and come with the request",
            "request": "they exist only in the request",
            "upload": "files or documents that callers hand in",
            "stream": "an event stream that never ends",
        },
    ),
    Question(
        "consumption",
        "How are predictions used?",
        {
            "waits": "a caller waits for one",
            "later": "a caller hands in a request and fetches the answer later",
            "whole-set": "reports, campaigns and other programs read all of them",
            "stream": "they flow on into a stream",
        },
    ),
    Question(
        "cost",
        "How much does the bill matter?",
        {
            "high": "the cheapest that does the job",
            "medium": "what fits best, then the cheaper",
            "low": "speed is worth its price",
        },
    ),
    Question(
        "failure",
        "What if a prediction cannot be made?",
        {
            "last-answer": "an older prediction is better than none",
            "retry": "it is made again later",
            "default": "the caller has a rule of its own",
            "must-answer": "the business stops",
        },
    ),
    Question(
        "traffic_shape",
        "How do requests come?",
        {
            "steady": "all the time",
            "bursty": "in bursts that nobody foresees, with quiet between them",
            "periodic": "at known times",
            "mixed": "a part that is known beforehand, and a live rest",
        },
    ),
    Question(
        "latency",
        "How long may it take from asking to having the answer?",
        {
            "instant": "less than a second",
            "seconds": "less than a minute",
            "minutes": "less than ten minutes",
            "hours": "longer",
        },
        (timedelta(seconds=1), timedelta(minutes=1), JOB),
        (timedelta(milliseconds=500), timedelta(seconds=10), timedelta(minutes=5), timedelta(hours=6)),
    ),
)

QUESTIONS: dict[str, Question] = {question.name: question for question in _ALL}
