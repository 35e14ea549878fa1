"""A process that accepts and ends prompts for ever, and prints what is durable as soon as it is.

``python -m tests.live.accepting JOURNAL``; killed by `test_journal`.
"""

import sys
from pathlib import Path

from dmoa.core import Answer, Content, PromptArrived
from dmoa.live.journal import Journal

WORDS = ("opened", "took-up", "accepted", "answered")


def say(word, number):
    print(word, number, flush=True)  # noqa: T201 - read by the test


def main(path):
    journal = Journal.open(path)
    say("opened", journal.incarnation)
    for record in journal.unfinished():
        say("took-up", record.prompt)
    while True:
        number = journal.next_prompt()
        journal.persist(PromptArrived(number, Content(2, f"question {number}")))
        say("accepted", number)
        if number % 2:
            journal.persist(Answer(number, Content(2, f"answer {number}")))
            say("answered", number)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
