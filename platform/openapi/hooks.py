"""What the descriptions say in words, JSON Schema having no way to say it.

Requests that fit their schema and break one of these rules are refused, and
rightly; so they are made to keep them. What must be refused stays as it is.
"""

import datetime
import itertools
import os

import schemathesis
from schemathesis.generation import GenerationMode

numbers = itertools.count()

# Ids of what the test stored before.
KNOWN = 5
HEADER = "email,full_name,source,campaign_id,score,external_id\r\n"


def whole(value):
    """Write whole numbers without a point."""
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def known(body, name):
    """Let the body refer to something that is there."""
    if isinstance(body, dict) and isinstance(body.get(name), int):
        body[name] = body[name] % KNOWN + 1


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if "Idempotency-Key" in case.headers:  # another request is another key
        case.headers["Idempotency-Key"] = f"{os.getpid()}-{next(numbers)}"
    if case.query:
        case.query.pop("cursor", None)  # opaque: only the service makes one
    if case.query and "from" in case.query and "to" in case.query:  # to is later, though not much
        begin = datetime.date.fromisoformat(case.query["from"][:10])
        begin = min(begin, datetime.date(9999, 12, 1))
        case.query["from"], case.query["to"] = str(begin), str(begin + datetime.timedelta(days=1))
    if "If-Match" in case.headers:  # what it is now, whatever that be
        case.headers["If-Match"] = "*"
    body = case.body
    if case.media_type == "text/csv" and isinstance(body, (str, bytes)):  # a header row comes first
        case.body = HEADER + body if isinstance(body, str) else HEADER.encode() + body
    if not isinstance(body, dict):
        return
    body = case.body = whole(body)
    known(body, "customer_id")
    known(body, "campaign_id")
    for lead in body.get("leads", []):
        known(lead, "campaign_id")
    for entry in body.get("entries", []):  # at most 30 days back
        entry["served_at"] = datetime.datetime.now(datetime.UTC).isoformat()
    if body.get("ends_on") and body.get("starts_on"):  # not before it starts
        body["starts_on"], body["ends_on"] = sorted([body["starts_on"], body["ends_on"]])
