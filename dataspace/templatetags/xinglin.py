"""Tags and filters of the pages: icons, states, times, numbers, hashes, the way to a receipt.

They dress what a view hands over. None of them reads a row, the pulse in the sidebar apart.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

from dataspace.actor import NOBODY, Actor
from dataspace.provenance.chainhealth import is_development
from dataspace.provenance.models import Leaf
from dataspace.provenance.queries import anchored_size, published
from dataspace.templatetags import words
from mpc.filters import in_words

register = template.Library()


def _chinese() -> bool:
    return (get_language() or "zh-hans").startswith("zh")


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite: hidden from readers, since a word stands beside it."""
    href = static("vendor/icons.svg") + "#" + name
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"/></svg>', label, href)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"/></svg>', href)


@register.simple_tag
def state(kind: str, value: str) -> SafeString:
    """A state: family by colour, itself by icon and word."""
    seen = words.look(kind, value)
    return format_html('<span class="st st-{}">{}{}</span>', seen.family, icon(seen.icon), seen.word)


@register.simple_tag
def dot(kind: str, value: str) -> SafeString:
    """The mark of a step in a timeline."""
    seen = words.look(kind, value)
    extra = {"move": " move", "wait": " wait", "stop": " stop", "rest": " next"}.get(seen.family, "")
    return format_html('<span class="dot{}">{}</span>', extra, icon(seen.icon))


@register.simple_tag
def step_dot(event_kind: str) -> SafeString:
    """The mark of something that happened."""
    move = event_kind.rpartition(".")[2]
    if move in {"refused", "failed", "revoked", "rejected", "suspended"}:
        return format_html('<span class="dot stop">{}</span>', icon("x"))
    if move in {"returned", "expired", "exhausted", "cancelled", "closed", "withdrawn", "delisted", "ended"}:
        return format_html('<span class="dot next">{}</span>', icon("archive"))
    return format_html('<span class="dot">{}</span>', icon("check"))


def _fruit(*, solid: bool) -> SafeString:
    href = static("vendor/icons.svg") + "#fruit"
    return format_html(
        '<svg class="fruit{}" aria-hidden="true"><use href="{}"/></svg>', "" if solid else " is-open", href
    )


@register.simple_tag
def proof(url: str, index: int | None, anchored: bool = False, label: str = "") -> SafeString:
    """The fruit: a fact's way to its receipt. Solid when anchored, hollow before."""
    if index is None:
        return format_html('<span class="quiet small nowrap">{}</span>', _("not in the log yet"))
    said = _("receipt") if anchored else _("receipt, not anchored yet")
    text = label or f"#{number(index)}"
    return format_html(
        '<a class="proof" href="{}">{}<span>{}<span class="visually-hidden">, {}</span></span></a>',
        url,
        _fruit(solid=anchored),
        text,
        said,
    )


@register.simple_tag
def event_proof(event: Any, anchored: int) -> SafeString:
    """The fruit of one event; `anchored` is the size of the log that the chain holds."""
    leaf = getattr(event, "leaf", None)
    if leaf is None:
        return proof("", None)
    return proof(reverse("receipt", args=[event.id]), leaf.index, leaf.index < anchored)


@register.simple_tag
def basis(kind: str, label: str, solid: bool = True) -> SafeString:
    """The fruit of a sum: the way to the entries it was made from."""
    url = reverse("ledger") + "?" + urlencode({"kind": kind})
    said = _("entries behind “%(figure)s”") % {"figure": label}
    return format_html(
        '<a class="proof" href="{}">{}<span class="visually-hidden">{}</span></a>', url, _fruit(solid=solid), said
    )


@register.simple_tag
def chip(value: object, name: str) -> SafeString:
    """A hash or an id: its first eight and last four, the whole in the title and by the button."""
    value = str(value or "")
    if not value:
        return format_html("{}", "—")
    short = value if len(value) <= 16 else f"{value[:8]}…{value[-4:]}"
    if value.startswith("0x") and len(value) > 16:
        short = f"{value[:10]}…{value[-4:]}"
    return format_html(
        '<span class="chip"><code title="{0}">{1}</code><button type="button" data-copy="{0}" aria-label="{2}">{3}'
        "</button></span>",
        value,
        short,
        _("Copy: %(name)s") % {"name": name},
        icon("copy"),
    )


@register.filter
def fours(value: str) -> str:
    """A fingerprint in full, in groups of four: it is compared by eye or read out, never copied from here."""
    return " ".join(value[at : at + 4] for at in range(0, len(value), 4))


@register.simple_tag
def when(value: datetime | None, form: str = "datetime") -> SafeString:
    """A time: written by the server in the space's zone, rewritten by a small script in the reader's."""
    if value is None:
        return format_html("{}", "—")
    local = timezone.localtime(value)
    if _chinese():
        shapes = {
            "datetime": "Y 年 n 月 j 日 H:i:s",
            "short": "n 月 j 日 H:i:s",
            "date": "Y 年 n 月 j 日",
            "time": "H:i:s",
        }
    else:
        shapes = {"datetime": "j M Y, H:i:s", "short": "j M, H:i:s", "date": "j M Y", "time": "H:i:s"}
    text = date_format(local, shapes[form], use_l10n=False)
    zone = "" if form == "date" else local.strftime(" %z")[:4].replace(" +", " UTC+")
    stamp = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return format_html('<time datetime="{}" data-local="{}">{}{}</time>', stamp, form, text, zone)


@register.simple_tag
def moment(value: str | None, form: str = "datetime") -> SafeString:
    """A time as documents write it: RFC 3339."""
    if not value:
        return format_html("{}", "—")
    return when(datetime.fromisoformat(value.replace("Z", "+00:00")), form)


@register.filter
def number(value: int | None) -> str:
    """Thousands apart, the same in both languages."""
    return "—" if value is None else f"{value:,}"


@register.filter
def money(amount: int | None, currency: str = "CNY") -> str:
    """Minor units with their currency."""
    if amount is None:
        return "—"
    sign = {"CNY": "¥", "EUR": "€", "USD": "$"}.get(currency, currency)
    return f"{sign} {amount // 100:,}.{amount % 100:02d}"


@register.filter
def said(row: Any, name: str) -> str:
    """A row's name or title in the reader's language: `row|said:"title"` reads title_zh or title_en."""
    if row is None:
        return "—"
    first, second = ("zh", "en") if _chinese() else ("en", "zh")
    return str(getattr(row, f"{name}_{first}", "") or getattr(row, f"{name}_{second}", ""))


@register.filter
def tongue(value: Mapping[str, str] | None) -> str:
    """One language of a document's {zh, en}."""
    if not value:
        return "—"
    first, second = ("zh", "en") if _chinese() else ("en", "zh")
    return value.get(first) or value.get(second, "")


@register.filter
def kind_word(kind: str) -> str:
    """What an event is called."""
    return str(words.event(kind)[0])


@register.filter
def kind_note(kind: str) -> str:
    """One line of what an event means."""
    return str(words.event(kind)[1])


@register.filter
def code_word(value: str) -> str:
    """What a refusal code says."""
    return str(words.code(value))


@register.filter
def actor_word(value: str) -> str:
    """Who must act."""
    return str(words.MUST_ACT.get(value, value))


@register.filter
def admitted_word(values: list[str]) -> str:
    """What an organisation is admitted as."""
    return pgettext("list", ", ").join(str(words.ADMITTED_AS.get(value, value)) for value in values)


@register.filter
def column_kind(value: str) -> str:
    """The kind of a column."""
    return str(words.COLUMN_KINDS.get(value, value))


@register.filter
def listed(values: list[Any]) -> str:
    """A list in a sentence."""
    return pgettext("list", ", ").join(str(value) for value in values)


@register.simple_tag
def codes(values: list[str]) -> SafeString:
    """Names of functions, columns: each as code."""
    return format_html_join(" ", "<code>{}</code>", ((value,) for value in values))


@register.simple_tag
def gap() -> str:
    """What stands between two sentences: nothing in Chinese."""
    return "" if _chinese() else " "


@register.simple_tag
def parameter(value: Any) -> SafeString:
    """The value of an order's parameter."""
    if value is None or value == []:
        return format_html("{}", "—")
    return codes([str(one) for one in value] if isinstance(value, list) else [str(value)])


@register.simple_tag
def filter_words(given: Mapping[str, Any]) -> str:
    """Which rows an order is about, in words; the names of columns as they are."""
    return in_words(given, get_language() or "zh-hans")


@register.simple_tag
def ladder(values: list[str]) -> SafeString:
    """One square a level: filled when verified, empty when not checked, struck when invalid."""
    classes = {"valid": "ok", "invalid": "bad"}
    squares = format_html_join("", '<i class="{}"></i>', ((classes.get(value, ""),) for value in values))
    text = _("%(valid)d of %(all)d levels verified") % {"valid": values.count("valid"), "all": len(values)}
    return format_html('<span class="ladder" role="img" aria-label="{}">{}</span>', text, squares)


def _pulse() -> dict[str, Any]:
    last = Leaf.objects.order_by("-index").first()
    size = 0 if last is None else last.index + 1
    anchored = anchored_size()
    return {
        "size": size,
        "last": size - 1,
        "anchored": anchored,
        "is_anchored": anchored >= size,
        "checkpoint": published(),
        "is_development": is_development(),
    }


@register.inclusion_tag("parts/pulse.html")
def pulse() -> dict[str, Any]:
    """The log's size and what of it is on the chain; the sidebar of every page."""
    return _pulse()


@register.inclusion_tag("parts/door_facts.html")
def door_facts() -> dict[str, Any]:
    """The same, on the door."""
    return _pulse()


@register.inclusion_tag("parts/nav.html", takes_context=True)
def nav(context: template.Context) -> dict[str, Any]:
    """The ways of this reader: by what their organisation is admitted as."""
    request = context.get("request")
    actor = cast(Actor, getattr(request, "actor", NOBODY))
    items = _ways(actor)
    return {"items": items, "here": context.get("here", ""), "waiting": context.get("waiting_count", 0)}


def _ways(actor: Actor) -> list[tuple[str, str, str, str]]:
    home = ("home", reverse("home"), "home", _("Waiting for me"))
    ledger = ("ledger", reverse("ledger"), "binary-tree-2", _("Ledger"))
    check = ("check", reverse("check"), "shield-check", _("Check it yourself"))
    if actor.participant_id is None and "operator" not in actor.roles:
        return [ledger, check]
    datasets = ("datasets", reverse("datasets"), "database", _("Datasets"))
    if actor.is_regulator:
        return [
            home,
            ("scenarios", reverse("scenarios"), "file-description", _("Scenario review")),
            ("participants", reverse("participants"), "building-hospital", _("Organisations")),
            ("products", reverse("products"), "building-store", _("Product listing")),
            datasets,
            ("grants", reverse("grants"), "key", _("Grants")),
            ("jobs", reverse("jobs"), "cpu", _("Computations")),
            ledger,
            check,
        ]
    if "provider" in actor.admitted_as:
        return [
            home,
            datasets,
            ("products", reverse("products"), "building-store", _("Data products")),
            ("scenarios", reverse("scenarios"), "file-description", _("Scenarios")),
            ("grants", reverse("grants"), "writing-sign", _("Consents")),
            ("jobs", reverse("jobs"), "history", _("Who used what")),
            ledger,
            check,
        ]
    return [
        home,
        ("products", reverse("products"), "search", _("Catalogue")),
        ("scenarios", reverse("scenarios"), "file-description", _("My scenarios")),
        ("grants", reverse("grants"), "key", _("Grants")),
        ("jobs", reverse("jobs"), "cpu", _("Jobs and results")),
        ledger,
        check,
    ]
