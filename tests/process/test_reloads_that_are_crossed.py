"""What else may happen while a reload reads its file; the rest of the program is a stand-in."""

# ruff: noqa: SLF001 the moments in question cannot be hit from outside

import asyncio
import threading
import types

import pytest

from lab.waiting import PATIENCE
from tidegate.process import master
from tidegate.process.master import SHUTTING_DOWN, Master


class Stage:
    """A master whose reload reads until `read` is set."""

    def __init__(self):
        self.read = threading.Event()
        self.reading = threading.Event()
        self.opened = []
        self.put_in_force = []
        self.generations = types.SimpleNamespace(
            model="old",
            rollout=None,
            stopping=False,
            current=types.SimpleNamespace(number=1, tables=()),
            put=self._put,
            tables_for=self._tables_for,
        )
        made = self.master = Master(
            None,
            reread=self._reread,
            ready=lambda: None,
            console=lambda *_line: None,
            detached=False,
        )
        made._generations = self.generations
        made._openings = types.SimpleNamespace(open=self.opened.append, retire=lambda: None)
        made._control = types.SimpleNamespace(close=lambda: None)
        made._supervisor = Workers()
        made._move_control = lambda: asyncio.sleep(0)
        made._names = Names()
        made._renames = types.SimpleNamespace(may_begin=True, succeeded=lambda: None)

    def _reread(self, _log):
        self.reading.set()
        assert self.read.wait(PATIENCE)
        return "new"

    async def _tables_for(self, _model):
        return ()

    def _put(self, model, _opened, _tables):
        self.put_in_force.append(model)
        self.generations.model = model
        finished = asyncio.get_running_loop().create_future()
        finished.set_result(None)
        return finished

    async def reload(self):
        """A reload that is reading now."""
        wish = self.master.reload()
        assert await asyncio.to_thread(self.reading.wait, PATIENCE)
        return wish


class Names:
    """Of a configuration without any."""

    def want(self, _model):
        return False

    def filled(self, model):
        return model

    def settle(self, model):
        pass

    def stop(self):
        pass


class Workers(list):
    def retire(self):
        pass


@pytest.fixture
def stage():
    made = Stage()
    yield made
    made.read.set()


async def test_certificates_that_change_during_a_reload_do_not_undo_it(stage, monkeypatch):
    looks = []
    turns = asyncio.Event()

    class Certificates:
        def __init__(self, **_to):
            pass

        def look(self, model):
            looks.append(model)
            return f"{model}, renewed" if len(looks) == 1 else None

    async def sleep(_seconds, sleep=asyncio.sleep):
        await sleep(0.001)
        turns.set()

    async def turn():
        turns.clear()
        await turns.wait()

    monkeypatch.setattr(master, "Certificates", Certificates)
    wish = await stage.reload()
    monkeypatch.setattr(master.asyncio, "sleep", sleep)
    watch = asyncio.create_task(stage.master._watch_certificates())
    try:
        async with asyncio.timeout(PATIENCE):
            for _turn in range(20):
                await turn()
            stage.read.set()
            assert await wish is None
            while not looks or stage.master._under_way():
                await turn()
    finally:
        watch.cancel()
    # It is looked at after the reload, and what is renewed is the new one.
    assert stage.put_in_force[0] == "new"
    assert looks[0] == "new"
    assert not [model for model in stage.put_in_force if model.startswith("old")]


async def test_a_renewal_of_what_is_no_more_in_force_is_dropped(stage):
    stage.generations.model = "new"
    stage.master._renewed = "old", "old, renewed"
    await stage.master._reload()
    assert stage.put_in_force == []
    assert stage.generations.model == "new"


@pytest.mark.parametrize("how", ["_quit", "_terminate"])
async def test_an_end_during_a_reload_opens_nothing_again(stage, how):
    stage.master._supervisor.kill = lambda: None
    wish = await stage.reload()
    getattr(stage.master, how)(*([] if how == "_quit" else [master.signal.SIGTERM]))
    stage.read.set()
    async with asyncio.timeout(PATIENCE):
        assert await wish == SHUTTING_DOWN
    assert stage.opened == []
    assert stage.put_in_force == []
