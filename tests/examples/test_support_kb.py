from pathlib import Path

import pytest

from support import messages
from support.kb import SITE, TOPICS, Article, KnowledgeBase, knowledge_base


def test_there_are_forty_articles_of_readable_length_in_every_topic() -> None:
    articles = knowledge_base().articles
    assert len(articles) >= 40
    assert {article.topic for article in articles} == TOPICS
    assert len({article.url for article in articles}) == len(articles)
    for article in articles:
        assert article.url.startswith(f"/help/{article.topic}/")
        assert 80 <= len(" ".join(article.paragraphs).split()) <= 200, article.url


@pytest.mark.parametrize(
    ("query", "url"),
    [
        (messages.DUPLICATE_CHARGE.message, "/help/billing/duplicate-charge"),
        (messages.LOST_PASSWORD.message, "/help/account/reset-password"),
        (messages.EXPORT_QUESTION.message, "/help/faq/export"),
        ("our script gets 429 from the API", "/help/faq/api-limits"),
        ("the VAT number on our invoice is wrong", "/help/billing/invoice-details"),
        ("I lost my phone with the authenticator", "/help/account/lost-two-factor"),
        ("is corkline down? is there an outage", "/help/faq/status"),
        ("please delete all our data", "/help/account/delete-data"),
    ],
)
def test_a_customers_words_find_the_article(query: str, url: str) -> None:
    results = knowledge_base().search(query)
    assert len(results) == 5
    assert results[0].url == SITE + url


def test_word_forms_match() -> None:
    assert knowledge_base().search("refunding")[0].url == SITE + "/help/billing/refunds"


def test_the_snippet_is_the_paragraph_that_fits() -> None:
    [result] = knowledge_base().search("proof charity registration letterhead", limit=1)
    assert result.snippet.startswith("Apply under Settings")


def test_an_article_is_listed_once_and_the_limit_holds() -> None:
    results = knowledge_base().search("invoice payment card refund", limit=3)
    assert len({result.url for result in results}) == 3
    assert knowledge_base().search("invoice", limit=0) == []


@pytest.mark.parametrize(
    "query",
    [
        '"unbalanced',
        "AND",
        "refund AND",
        "NOT refund",
        "refund OR OR refund",
        "NEAR(refund card, 3)",
        "title: refund",
        "refund* -card ^invoice {body}:x",
        "'; DROP TABLE passage; --",
        "_",
        "😀 refund 🧾",
        "\x00 refund \ud800",
        "returned " * 1_100,
        " ".join(f"word{number}" for number in range(2_000)),
    ],
)
def test_no_text_of_a_customer_breaks_the_search(query: str) -> None:
    knowledge_base().search(query)
    assert knowledge_base().search("refund")


@pytest.mark.parametrize("query", ["", "   ", "?!", "😀", "the and of"])
def test_a_query_without_words_finds_nothing(query: str) -> None:
    assert knowledge_base().search(query) == []


@pytest.mark.parametrize(
    "text",
    [
        "Only text\n",
        "---\ntitle: A\nurl: /a\n---\n\nNo topic.\n",
        "---\ntitle: A\nurl: /a\ntopic: sales\n---\n\nUnknown topic.\n",
    ],
)
def test_an_article_without_its_front_matter_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.md").write_text(text)
    with pytest.raises(ValueError, match=r"'broken.md' needs front matter"):
        KnowledgeBase.load(tmp_path)


def test_the_body_may_hold_rules(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\ntitle: A: B\nurl: /a\ntopic: faq\n---\n\nOne.\n\n---\n\nTwo.\n")
    assert Article.read(tmp_path / "a.md") == Article("A: B", "/a", "faq", ("One.", "---", "Two."))
