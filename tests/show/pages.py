"""A web page as the tests read it."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Start tags with attributes, and the text as it is read; every element must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.stack: list[str] = []
        self.text = self.style = self.script = ""
        self.feed(text)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "input"}:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        kind = next((tag for tag in ("style", "script") if tag in self.stack), "text")
        setattr(self, kind, getattr(self, kind) + data.replace("\N{NO-BREAK SPACE}", " "))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def skeleton(self) -> list[tuple[str, list[str]]]:
        """Elements with the names of their attributes."""
        return [(tag, list(attributes)) for tag, attributes in self.tags]

    @property
    def policy(self) -> str:
        return next(one["content"] for one in self.all("meta") if "http-equiv" in one)

    def check_loads_nothing(self) -> None:
        for tag, attributes in self.tags:
            assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
            for name, value in attributes.items():
                if name in {"src", "href", "xlink:href", "action", "srcset", "poster", "data"}:
                    assert value.startswith("#"), f"<{tag} {name}={value!r}>"
                assert not re.search(r"url\((?!'data:image/|#)", value or "")
                assert not name.startswith("on")
        loads = r"https?:|@import|url\(|fetch|XMLHttp|import\s*\("
        assert not re.search(loads, self.style + self.script)
        assert self.policy.startswith("default-src 'none'")
