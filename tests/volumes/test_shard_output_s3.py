"""Outputs on S3, against a real server on this machine: the same voxels, whatever the network does; keys only when asked."""

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("moto")

from remote_scans import HASTY
from s3_server import BUCKET, KEYS, Proxy, s3_server

from ensemble.commands import scroll_status
from scroll.errors import InputError, MissingInputError
from scroll.shards.grid import shard_at
from scroll.shards.ledger import Ledger, Outcome
from scroll.shards.plan import Plan, write_plan
from scroll.volumes import ome_zarr, open_volume, remote
from scroll.volumes.binning import block_mean
from scroll.volumes.sharded.output import OutputFormat, create_output, open_output
from scroll.volumes.sharded.places import place_at

HOW = OutputFormat((24, 20, 16), shard_vox=16, chunk_vox=8, voxel_um=7.91, levels=2)
VOXELS = np.random.default_rng(0).integers(1, 256, HOW.shape, dtype=np.uint8)
PATIENT = remote.RemoteSettings(**{**vars(HASTY), "retries": 8, "longest_wait_s": 0.3})


def corners_at(how, level):
    return list(itertools.product(*(range(0, n, how.shard_vox) for n in how.shape_at(level))))


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture
def proxy(server, monkeypatch):
    """The way to the server; neither keys nor a proxy of the machine play a part."""
    for name in os.environ:
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "WRITING", PATIENT)
    with Proxy(server[1]) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.address)
        yield opened
        opened.shutdown()


@pytest.fixture
def address(request):
    return f"s3://{BUCKET}/{request.node.name}/prob.zarr"


def write_all(output, voxels=VOXELS):
    for corner in corners_at(output.how, 0):
        output.write(corner, voxels[output.how.shard_at(0, corner)])
    for level in range(1, output.how.levels):
        for corner in corners_at(output.how, level):
            output.write_coarser(level, corner)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_on_s3_lies_what_would_lie_on_the_disk(proxy, address, tmp_path, version):
    how = OutputFormat(HOW.shape, 16, 8, 7.91, version, levels=2)
    for path in (address, tmp_path / "prob.zarr"):
        write_all(create_output(path, how, "key"))
    for level in (0, 1):
        there, here = ome_zarr.open(address, level=level), ome_zarr.open(tmp_path / "prob.zarr", level=level)
        assert there.voxel_um == here.voxel_um == 7.91 * 2**level
        np.testing.assert_array_equal(there[...], here[...])
        in_the_bucket = open_output(address).files(level)
        assert in_the_bucket == open_output(tmp_path / "prob.zarr").files(level) and len(in_the_bucket[0, 0, 0]) > 0
    np.testing.assert_array_equal(here[...], block_mean(VOXELS, (2, 2, 2)))
    files = [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()]
    stored = {path.split("/prob.zarr/")[1] for method, path in proxy.requests if method == "PUT"}
    assert stored == {file.removeprefix("prob.zarr/") for file in files}


@pytest.mark.parametrize("failures", [(503, 503), (500, 429), ("cut",), ("lost",), ("cut", 503, "lost")])
def test_a_server_that_is_busy_or_breaks_off_is_sent_the_shard_again(proxy, address, failures):
    output = create_output(address, HOW, "key")
    proxy.plan("PUT", r"/0/c/0/0/0$", *failures)
    output.write((0, 0, 0), VOXELS[:16, :16])
    assert not proxy.planned
    assert proxy.count("PUT", r"/0/c/0/0/0$") == len(failures) + 1
    np.testing.assert_array_equal(output.read((0, 0, 0), (16, 16, 16)), VOXELS[:16, :16])


def test_metadata_and_the_pyramid_are_sent_again_too(proxy, address):
    for pattern in ("prob.zarr/zarr.json", "/0/zarr.json", "/1/zarr.json", "/1/c/"):
        proxy.plan("PUT", pattern, 503, "lost")
    write_all(create_output(address, HOW, "key"))
    assert not proxy.planned
    np.testing.assert_array_equal(ome_zarr.open(address, level=1)[...], block_mean(VOXELS, (2, 2, 2)))


def test_a_shard_in_many_parts_appears_when_all_of_them_are_there(proxy, address):
    how = OutputFormat((192, 256, 256), 256, 64, 7.91)
    noise = np.random.default_rng(1).integers(0, 256, how.shape, dtype=np.uint8)  # 12 MiB that do not pack: 3 parts
    output = create_output(address, how, "key")
    proxy.plan("POST", "uploads", 503)
    proxy.plan("PUT", "partNumber=2", "cut", 503)
    proxy.plan("POST", "uploadId", 503)
    output.write((0, 0, 0), noise)
    assert not proxy.planned
    assert proxy.count("PUT", "partNumber") == 5
    np.testing.assert_array_equal(output.read((0, 0, 0), how.shape), noise)


def test_a_server_that_stands_still_for_a_while_is_waited_for(server, proxy, address):
    output = create_output(address, HOW, "key")
    process, _ = server
    process.send_signal(signal.SIGSTOP)
    threading.Timer(0.5, process.send_signal, (signal.SIGCONT,)).start()
    began = time.monotonic()
    output.write((0, 0, 0), VOXELS[:16, :16])
    assert time.monotonic() - began > 0.4
    np.testing.assert_array_equal(output.read((0, 0, 0), (16, 16, 16)), VOXELS[:16, :16])


def test_a_server_that_is_gone_is_one_line_and_what_was_stored_before_is_not_taken_for_more(proxy, address):
    output = create_output(address, HOW, "key")
    output.write((0, 0, 0), VOXELS[:16, :16])
    proxy.plan("PUT", "/0/c/1/0/0", *[503] * 9)
    with pytest.raises(
        InputError, match=r"/0/c/1/0/0: the server answered 503.*8 retries.*expected it to be stored"
    ) as error:
        output.write((16, 0, 0), VOXELS[16:, :16])
    assert "\n" not in str(error.value)
    found = output.read((0, 0, 0), HOW.shape)
    np.testing.assert_array_equal(found[:16, :16], VOXELS[:16, :16])
    assert not found[16:].any()


def write_shards(address, corners):
    output = open_output(address)
    for corner in corners:
        output.write(corner, VOXELS[HOW.shard_at(0, corner)])


def test_two_processes_write_one_output_without_a_word_to_each_other(proxy, address):
    create_output(address, HOW, "key")
    corners, context = corners_at(HOW, 0), multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_shards, args=(address, corners[first::2])) for first in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    np.testing.assert_array_equal(open_volume(address)[...], VOXELS)


def test_the_shard_that_another_one_wrote_meanwhile_is_seen(proxy, address):
    output, other = create_output(address, HOW, "key"), open_output(address)
    assert not output.read((0, 0, 0), (1, 1, 1)).any()
    other.write((0, 0, 0), VOXELS[:16, :16])
    np.testing.assert_array_equal(output.read((0, 0, 0), (16, 16, 16)), VOXELS[:16, :16])
    proxy.plan("POST", "delete", 503, "cut")
    output.write((0, 0, 0), np.zeros((16, 16, 16), np.uint8))
    assert not proxy.planned
    assert not other.read((0, 0, 0), (16, 16, 16)).any()


def test_a_damaged_shard_on_s3_is_named(proxy, address):
    output = create_output(address, HOW, "key")
    output.write((0, 0, 0), VOXELS[:16, :16])
    from scroll.volumes.sharded.places import S3Place
    from scroll.volumes.url import Url

    place = S3Place(Url(address))
    for content, message in ((b"", "empty"), (b"half of it", r"the chunk at voxel \(0, 0, 0\)")):
        place.put("0/c/0/0/0", content)
        with pytest.raises(InputError, match=f"{address}/0/c/0/0/0: {message}"):
            output.read((0, 0, 0), HOW.shape)


def test_an_output_of_another_prediction_on_s3_is_refused_and_stays_as_it_was(proxy, address):
    create_output(address, HOW, "key").write((0, 0, 0), VOXELS[:16, :16])
    proxy.requests.clear()
    for how, key in ((HOW, "another"), (OutputFormat(HOW.shape, 16, 8, 7.91, "0.4", levels=2), "key")):
        with pytest.raises(InputError, match="holds another prediction"):
            create_output(address, how, key)
    assert not proxy.count("PUT", "")
    np.testing.assert_array_equal(create_output(address, HOW, "key").read((0, 0, 0), (16, 16, 16)), VOXELS[:16, :16])


def test_of_two_who_make_different_outputs_at_one_place_the_first_stays(proxy, address):
    """Both find nothing; then the server takes only the first file that says whose output it is."""
    begun, errors = threading.Barrier(2), []

    def create(key):
        begun.wait()
        try:
            create_output(address, HOW, key)
        except InputError as error:
            errors.append(str(error))

    makers = [threading.Thread(target=create, args=(key,)) for key in ("one", "two")]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(errors) == 1 and "holds another prediction" in errors[0]
    winner = open_output(address).key
    assert f"expected key {winner}" not in errors[0]
    assert create_output(address, HOW, winner).key == winner


def test_an_output_whose_maker_was_killed_half_way_is_completed_by_the_next(proxy, address):
    proxy.plan("PUT", "/1/zarr.json", *[503] * 9)
    with pytest.raises(InputError, match=r"1/zarr\.json"):
        create_output(address, HOW, "key")
    with pytest.raises(MissingInputError):
        ome_zarr.open(address, level=1)
    write_all(create_output(address, HOW, "key"))
    np.testing.assert_array_equal(ome_zarr.open(address, level=1)[...], block_mean(VOXELS, (2, 2, 2)))


def test_keys_that_lie_about_are_not_used_unasked(proxy, address, monkeypatch):
    monkeypatch.delenv("AWS_SKIP_SIGNATURE")
    with pytest.raises(InputError, match="set AWS_SKIP_SIGNATURE=false and your AWS keys"):
        create_output(address, HOW, "key")


def test_an_output_on_s3_is_verified_and_struck_out_like_one_on_a_disk(proxy, address, tmp_path, capsys, monkeypatch):
    output, plan = create_output(address, HOW, "key"), Plan("key", HOW, ((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)), 0)
    ledger = Ledger(tmp_path, "key")
    write_plan(tmp_path / "plan.json", plan)
    for shard in plan.shards:
        ledger.record(Outcome(shard, "me", files=output.write(shard.corner, VOXELS[HOW.shard_at(0, shard.corner)])))
    coarse = shard_at(HOW.shape_at(1), HOW.shard_vox, (0, 0, 0), 1)
    ledger.record(Outcome(coarse, "me", files=output.write_coarser(1, (0, 0, 0))))
    for options, code in (((), 0), (("--verify",), 0)):
        monkeypatch.setattr(sys, "argv", ["scroll_status.py", address, "--ledger", str(tmp_path), *options])
        assert scroll_status.main() == code
    place, name = place_at(output.path), "0/c/0/0/0"
    content = place.get(name)
    place.put(name, content[:9] + bytes([content[9] ^ 1]) + content[10:])
    assert scroll_status.main() == 1 and "shard 0-0-0: c/0/0/0 is damaged" in capsys.readouterr().out
    assert not ledger.is_done(plan.shards[0]) and ledger.is_done(plan.shards[1])
    output.write((0, 0, 0), VOXELS[:16, :16])
    assert place.get(name) == content
