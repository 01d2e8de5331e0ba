"""The spool's folder, beside what refreshing shows of it."""

from pathlib import Path

from aura_cli.integrations.spool import DRAFT, Spool
from aura_cli.settings import Settings
from aura_cli.vault.keyring import KeyRing


def test_a_draft_is_no_answer(tmp_path: Path) -> None:
    """What somebody died over while writing it holds nothing: its connection is asked for again at once, not an hour later."""
    vault = KeyRing.of(Settings.load({"AURA_HOME": str(tmp_path), "INTEGRATION_ENCRYPTION_KEY": "test-key-of-no-web-app"}, tmp_path))
    spool = Spool.at(tmp_path, vault)
    (spool.folder / f"one-0123{DRAFT}").write_text("ab:")
    (spool.folder / "two-0123").write_text("ab:")
    assert (spool.holds("one"), spool.holds("two")) == (False, True)
    assert [path.name for path, _ in spool.kept()] == ["two-0123"]
