"""`/metrics` in the hands of Prometheus' own parser, and `/readyz`."""

import math
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from aura_cli.db.engine import reading, writing
from aura_cli.webhooks.metrics import OPEN, Histogram, Metrics, backlog
from aura_cli.webhooks.metrics import text as exposition
from tests.parts.listening import Served, event

COUNTERS = ("received", "stored", "thin", "duplicates", "rejected", "processed", "stale", "failed", "unmatched", "dead")
GAUGES = ("queue_events", "inbox_events", "lag_seconds")
HISTOGRAMS = ("batch_events", "commit_seconds", "request_seconds")


def parsed(said: str) -> dict[str, float]:
    """Every sample by its name and labels."""
    families = list(text_string_to_metric_families(said))
    assert [family for family in families if family.type == "unknown" or not family.documentation] == []
    return {f"{sample.name}{sample.labels or ''}": sample.value for family in families for sample in family.samples}


def test_what_prometheus_reads(listener: Served) -> None:
    """Everything that is counted is there, and the histograms add up."""
    body = event("evt_metrics")
    assert [listener.deliver(body), listener.deliver(body), listener.deliver(body, secret="whsec_test_wrong")] == [200, 200, 400]
    found = parsed(listener.admin("/metrics"))
    names = {name.partition("{")[0] for name in found}
    assert {f"aura_webhooks_{name}" for name in (*(f"{name}_total" for name in COUNTERS), *GAUGES)} <= names
    expected = {"received_total": 3, "stored_total": 1, "duplicates_total": 1, "batch_events_sum": 2, "request_seconds_count": 3}
    assert {name: found[f"aura_webhooks_{name}"] for name in expected} == expected
    assert found["aura_webhooks_rejected_total{'reason': 'signature_no_match'}"] == 1
    assert found["aura_webhooks_inbox_events{'state': 'received'}"] == 1
    assert found["aura_webhooks_lag_seconds"] >= 0
    for name in HISTOGRAMS:
        buckets = [value for sample, value in found.items() if sample.startswith(f"aura_webhooks_{name}_bucket")]
        assert buckets == sorted(buckets)
        assert buckets[-1] == found[f"aura_webhooks_{name}_count"] > 0
        assert math.isfinite(found[f"aura_webhooks_{name}_sum"])


def test_without_the_database(engine: Engine) -> None:
    """What this process counted is told all the same."""
    found = parsed(exposition(Metrics(received=7), None, 3))
    assert (found["aura_webhooks_received_total"], found["aura_webhooks_queue_events"]) == (7, 3)
    assert not [name for name in found if "inbox" in name or "lag" in name]


def test_a_bucket_holds_its_bound() -> None:
    """A value counts in the bucket whose bound it equals."""
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        histogram.observe(value)
    assert (histogram.counts, histogram.total) == ([2, 2, 1], 8)


def test_the_backlog(engine: Engine) -> None:
    """Events by state, done ones left out; the lag is that of the oldest that is due."""
    insert = "INSERT INTO {}webhook_events (id, type, created, livemode, thin, payload, source, state, due_at) VALUES "
    rows = [(state, "NULL") for state in ("done", "done", "dead", "unmatched", "dead")]
    late, later = (
        ("strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-90 seconds')", "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '90 seconds')")
        if engine.dialect.name == "sqlite"
        else ("now() - interval '90 seconds'", "now() + interval '90 seconds'")
    )
    rows += [("received", late), ("failed", later), ("processing", later)]
    values = ", ".join(f"('evt_{n}', 'x', 1, false, false, '', 'web', '{state}', {due})" for n, (state, due) in enumerate(rows))
    with writing(engine) as connection:
        connection.execute(text(insert.format("" if engine.dialect.name == "sqlite" else "aura_ops.") + values))
    with reading(engine) as connection:
        found = backlog(connection)
    assert found.states == dict(zip(OPEN, (1, 1, 1, 1, 2), strict=True))
    assert 89 < found.lag < 120


def test_ready(listener: Served, engine: Engine) -> None:
    """Ready with a reachable database of this program's schema, and not with another; the public port does not say."""
    assert listener.admin("/readyz") == "ready\n"
    table = "aura_version" if engine.dialect.name == "sqlite" else "aura_ops.aura_version"
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE {table} SET version_num = '0001'"))
    with pytest.raises(urllib.error.HTTPError) as raised:
        listener.admin("/readyz")
    assert raised.value.code == 503
    assert "older than this program" in raised.value.read().decode()
    for path in ("/readyz", "/metrics"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{listener.port}{path}", timeout=10)
