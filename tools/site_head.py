"""What every built page gets on top of the theme: a description, and only what it needs.

:func:`finish` goes over the built pages once. Each gets a description and the tags that a link
shows when it is shared, and a policy that forbids other origins. Some of the theme goes: buttons
for live code, which are switched off here, with constants that it declares twice (an error on
every page) and the address of somebody else's script; half a megabyte of script that draws the
icons which the style sheet draws already; the index of words, except where one searches. What is
left waits until the page is read, so that scripts come side by side and nothing waits for them.

Where ``html: baseurl`` of ``_config.yml`` names the site's address, pages name theirs
(``canonical``, by Sphinx), pictures are given in full, and there is a ``sitemap.xml``.
"""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import yaml

from tools.lessons import ROOT, toc_pages, write_atomically

NAME = "Backdoors in Anomaly Detection"
CARD = "_static/card.png"
LENGTH = 200  # characters of a description, about what is shown
# Pages have scripts and styles within them, the theme's and our own. What is forbidden is to load
# or to send anything elsewhere. A page from the disk has no origin: file: names it.
POLICY = "; ".join(
    [
        "default-src 'self' file: data: blob: 'unsafe-inline'",
        "base-uri 'self'",
        "form-action 'self' file:",
        "object-src 'none'",
    ]
)
UNUSED = re.compile(
    r"\s*(?:<script>const THEBE_JS_URL = .*?</script>"
    r"|<script[^>]*src=\"[^\"]*sphinx-thebe\.js[^>]*></script>"
    r"|<link[^>]*href=\"[^\"]*sphinx-thebe\.css[^>]*/>"
    r"|<script type=\"text/x-thebe-config\">.*?</script>"
    r"|<script>kernelName = .*?</script>"
    r"|<!--[^>]*custom icons -->\s*<script defer src=\"[^\"]*fontawesome[^>]*></script>)",
    re.DOTALL,
)
SEARCHING = re.compile(
    r"\s*<script src=\"[^\"]*(?:searchtools|language_data|searchindex)\.js\"></script>"
)
# The options are filled in by lines within the page, so they come first.
WAITING = re.compile(
    r"<script(?![^>]*\b(?:defer|async)\b)(?=[^>]*\bsrc=\"(?![^\"]*documentation_options))"
)
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
DESCRIBED = re.compile(r"<meta content=\"([^\"]*)\"[^>]*name=\"description\"[^>]*>")


def base_url(root: Path = ROOT) -> str:
    """Return the configured address of the site, with a slash at its end; empty without one.

    Raises
    ------
    ValueError
        It is no address of the web.
    """
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    address = (config.get("html") or {}).get("baseurl") or ""
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise ValueError(
            f"_config.yml: html baseurl must be https://HOST/PATH, or empty, got {address!r}"
        )
    return f"{address.rstrip('/')}/" if address else ""


def title_of(text: str) -> str:
    """Return a page's title, the site's name only once: ``2. DeepSAD — Backdoors ...``."""
    match = TITLE.search(text)
    parts = html.unescape(match[1]).split(" — ") if match else [NAME]
    return " — ".join(dict.fromkeys(part.strip() for part in parts))


def description_of(text: str) -> str:
    """Return a page's own description, or the beginning of its first paragraph of some length."""
    if own := DESCRIBED.search(text):
        return html.unescape(own[1])
    body = text[text.find("<article") :]
    for paragraph in PARAGRAPH.findall(body):
        plain = " ".join(html.unescape(re.sub(r"<[^>]+>", "", paragraph)).split())
        if len(plain) >= 50:
            return plain if len(plain) <= LENGTH else plain[:LENGTH].rsplit(" ", 1)[0] + " …"
    return "How a backdoor comes into an anomaly detector, and how it is noticed: a course."


def finished(text: str, page: str, base: str = "") -> str:
    """Return the HTML of a built page with its head in order; ``page`` is its path in the site."""
    if "</head>" not in text:  # what leads on from the site's own address is a bare line
        text = REDIRECT.format(name=NAME, leads_on=text.strip())
    text = UNUSED.sub("", text)
    if page != "search.html":
        text = SEARCHING.sub("", text)
    text = WAITING.sub("<script defer", text)
    title, description = title_of(text), description_of(text)
    up = Path(os.path.relpath(CARD, Path(page).parent)).as_posix()
    tags = {
        "og:type": "website",
        "og:site_name": NAME,
        "og:title": title,
        "og:description": description,
        "og:image": urljoin(base, CARD) if base else up,
        "og:image:alt": "A sneaker, and what two detectors say of it without and with a trigger",
    }
    if base:
        tags["og:url"] = urljoin(base, page)
    lines = [f'<meta http-equiv="Content-Security-Policy" content="{POLICY}" />']
    if not DESCRIBED.search(text):
        lines.append(f'<meta name="description" content="{html.escape(description)}" />')
    lines += [f'<meta property="{k}" content="{html.escape(v)}" />' for k, v in tags.items()]
    # First in the head: a policy counts from where it stands.
    text = re.sub(
        r'(<meta charset="[^"]*" ?/?>)', lambda m: "\n    ".join([m[1], *lines]), text, count=1
    )
    return TITLE.sub(lambda _: f"<title>{html.escape(title, quote=False)}</title>", text, count=1)


REDIRECT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<title>{name}</title>
{leads_on}
</head>
<body></body>
</html>
"""


NOT_FOUND = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta http-equiv="Content-Security-Policy" content="{policy}" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="robots" content="noindex" />
<meta name="description" content="This page does not exist." />
<title>Not found — {name}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{
  font: 1.1rem/1.6 system-ui, sans-serif;
  margin: 15vh auto;
  max-width: 34rem;
  padding: 0 1rem;
}}
</style>
</head>
<body>
<main>
<h1>This page is not here</h1>
<p>It may have been renamed. Begin at the <a href="{home}book/intro.html">first page</a>, go to the
<a href="{home}book/playground.html">playground</a>, or <a href="{home}search.html">search</a>.</p>
</main>
</body>
</html>
"""


def finish(site: Path, root: Path = ROOT) -> None:
    """Put every page of a built site in order; add ``404.html`` and, with an address, a sitemap."""
    base = base_url(root)
    for file in sorted(site.rglob("*.html")):
        page = file.relative_to(site).as_posix()
        if "_static" not in file.parts:
            write_atomically(file, finished(file.read_text(encoding="utf-8"), page, base))
    # A host shows this page at whatever address was asked for, so its links begin at the root.
    home = urlsplit(base).path or "/"
    write_atomically(site / "404.html", NOT_FOUND.format(policy=POLICY, name=NAME, home=home))
    if base:
        places = (urljoin(base, f"{page}.html") for page in toc_pages(root / "_toc.yml"))
        entries = "".join(f"<url><loc>{html.escape(place)}</loc></url>\n" for place in places)
        write_atomically(
            site / "sitemap.xml",
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}</urlset>\n',
        )
        write_atomically(site / "robots.txt", f"User-agent: *\nSitemap: {base}sitemap.xml\n")
