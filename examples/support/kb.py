"""The knowledge base: the Markdown articles in `kb/`, searched with SQLite FTS5 and bm25.

Owns an index in memory, built once per process from the files and never written again. Each paragraph is a row,
so that a hit names the passage that fits and not only the article. Any text is a valid query.
Does not guarantee a hit: an empty list means that no word of the query occurs.
"""

import functools
import re
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from support.contract import KBResult

__all__ = ["SITE", "Article", "KnowledgeBase", "knowledge_base"]

SITE = "https://help.corkline.example"
TOPICS = frozenset({"faq", "account", "billing"})

# More words than this make a query slow and no better: the rest of a long message is repetition.
_MAX_WORDS = 64
_WORD = re.compile(r"[^\W_]+")
_TITLE_WEIGHT, _BODY_WEIGHT = 3.0, 1.0

# Words of every message: as search terms they only add noise.
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a about after all am an and any are as at be because been but by can could did do does for from get had"
        " has have hello help hi how i if in is it its just me my no not of on or our please so that the their"
        " them then there they this to too us want was we were what when where which who why will with would you"
        " your"
    )
)


@dataclass(frozen=True)
class Article:
    """One help article: its heading, its path on the help site, its topic and its paragraphs."""

    title: str
    url: str
    topic: str
    paragraphs: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a Markdown file with `title`, `url` and `topic` in its front matter.

        Raises:
            ValueError: the front matter is missing, incomplete or names an unknown topic.
        """
        fence, header, body = (*path.read_text(encoding="utf-8").split("---\n", 2), "", "")[:3]
        fields = dict(line.split(": ", 1) for line in header.splitlines() if ": " in line)
        if fence or not {"title", "url", "topic"} <= fields.keys() or fields["topic"] not in TOPICS:
            raise ValueError(
                f"article {path.name!r} needs front matter with title, url and topic ({', '.join(sorted(TOPICS))})"
            )
        paragraphs = tuple(" ".join(block.split()) for block in body.strip().split("\n\n"))
        return cls(fields["title"], fields["url"], fields["topic"], paragraphs)


class KnowledgeBase:
    """An index over `articles`. Safe to share between threads."""

    def __init__(self, articles: list[Article]) -> None:
        self.articles = tuple(articles)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute(
            "CREATE VIRTUAL TABLE passage USING fts5(title, body, url UNINDEXED, tokenize='porter unicode61')"
        )
        self._db.executemany(
            "INSERT INTO passage VALUES (?, ?, ?)",
            [(article.title, text, article.url) for article in articles for text in article.paragraphs],
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Index every `*.md` file in `folder`."""
        return cls([Article.read(path) for path in sorted(folder.glob("*.md"))])

    def search(self, query: str, *, limit: int = 5) -> list[KBResult]:
        """The best `limit` articles for any text, best first, each with its best passage."""
        words = [word for word in _WORD.findall(query.lower()) if word not in _STOP_WORDS]
        terms = list(dict.fromkeys(words))[:_MAX_WORDS]
        if not terms:
            return []
        with self._lock:
            rows = self._db.execute(
                "SELECT title, url, body FROM passage WHERE passage MATCH ? ORDER BY bm25(passage, ?, ?), rowid",
                # Quoted words are plain words: no operator of FTS5 can come from the customer's text.
                (" OR ".join(f'"{term}"' for term in terms), _TITLE_WEIGHT, _BODY_WEIGHT),
            ).fetchall()
        best: dict[str, KBResult] = {}
        for title, url, body in rows:
            best.setdefault(url, KBResult(title=title, url=SITE + url, snippet=body))
        return list(best.values())[: max(limit, 0)]


@functools.cache
def knowledge_base() -> KnowledgeBase:
    """The articles of this example, indexed at the first call in each process."""
    return KnowledgeBase.load(Path(__file__).parent / "kb")
