"""Every problem on the way from a file to its plans is told at once, by line."""

from pathlib import Path

import pytest

from moby.errors import Invalid, NotFound
from moby.resolution import resolve_file

BROKEN = """moby: 1
name: bad
bogus: 1
components:
  runtime: nativ
  command: [run, image]
distribution: {formats: [pyx]}
"""


def test_problems_of_reading_engine_and_formats_come_together(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BROKEN)
    with pytest.raises(Invalid) as raised:
        resolve_file(str(file))
    told = [(each.where.line if each.where else 0, each.message.split(" (")[0]) for each in raised.value.problems]
    assert [line for line, _ in told] == [3, 5, 7]
    assert "unknown key 'bogus'" in told[0][1]
    assert "no runtime 'nativ'" in told[1][1]
    assert "pyx" in told[2][1]


def test_formats_given_take_the_place_of_the_manifests(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="--format"):
        resolve_file("quickstart", formats=("pyx",))
    found = resolve_file("quickstart", formats=("pyz", "pyz"))
    assert [each.key for each in found.build.instances] == ["packager/pyz"]


def test_what_cannot_be_read_at_all(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("{")
    with pytest.raises(Invalid, match=r"bad\.yaml:2:1"):
        resolve_file(str(file))


def test_facts_file_that_is_not_there_is_no_problem_of_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no facts file"):
        resolve_file("quickstart", target=str(tmp_path / "none.json"))
    file = tmp_path / "bad.yaml"
    file.write_text(BROKEN)
    with pytest.raises(Invalid, match="bogus"):
        resolve_file(str(file), target=str(tmp_path / "none.json"))


FRONT_ENDS = """moby: 1
name: fronts
extends: [docker]
components:
  frontend:
    - use: docker
      default: true
      config:
        socket: /run/x.sock
        rules: ["deny PSOT /x"]
        addresses: ["tcp://127.0.0.1:2375"]
        lowest_api: "1.60"
        highest_api: abc
    - use: docker
      as: second
      config:
        socket: /run/x.sock
        tls_key: /nonexistent
        lowest_api: "1.45"
        highest_api: "1.30"
    - {use: metrics, config: {addresses: ["tcp://0.0.0.0:9"]}}
  metadata: {use: sqlite, config: {path: x.db}}
  networks: {use: registry, config: {host_gateway: here, gone_hours: -1}}
  ipam: [{use: default, config: {pools: [{base: 10.0.0.0/8, size: 4}]}}, "null"]
  tracer: {use: otlp, config: {endpoint: "ftp://h"}}
distribution: {config: {raw: {data_mib: 1}}}
"""


def test_rules_of_components_are_told_by_line(tmp_path: Path) -> None:
    file = tmp_path / "fronts.yaml"
    file.write_text(FRONT_ENDS)
    with pytest.raises(Invalid) as raised:
        resolve_file(str(file), formats=("raw",))
    told = [(each.where.line if each.where else 0, each.message) for each in raised.value.problems]
    for (line, message), (wanted, words) in zip(
        told,
        [
            (10, "option rules of frontend/docker: access rule 'deny PSOT /x': 'PSOT' is neither"),
            (11, "option addresses of frontend/docker: tcp://127.0.0.1:2375 without TLS"),
            (12, "option lowest_api of frontend/docker: version 1.60 of the API can't be answered"),
            (13, "option highest_api of frontend/docker: 'abc' is no version of the API"),
            (17, "option socket of frontend/docker: frontend/docker has '/run/x.sock' already"),
            (18, "option tls_key of frontend/docker: TLS needs tls_certificate and tls_authority too"),
            (20, "option highest_api of frontend/docker: no version of the API is from 1.45 to 1.30"),
            (21, "option addresses of frontend/metrics: tcp://0.0.0.0:9 would tell everybody"),
            (22, "option path of metadata/sqlite: x.db is no absolute path"),
            (23, "option host_gateway of networks/registry: 'here' is no address"),
            (23, "option gone_hours of networks/registry: gone_hours is -1"),
            (24, "option pools of ipam/default: invalid address pool 10.0.0.0/8: no subnets"),
            (25, "option endpoint of tracer/otlp: 'ftp://h' is no address of a collector"),
            (26, "option data_mib of packager/raw: data_mib is 1; a file system with a journal needs"),
        ],
        strict=True,
    ):
        assert (line, message.startswith(words)) == (wanted, True), message
    first = raised.value.problems[0]
    assert first.because == (f"frontend/docker is chosen at {file}:6:7",)
    assert first.fixes == ("write, for one, `allow GET,HEAD /containers/*`",)


def test_rules_over_open_options_are_left_to_the_start(tmp_path: Path) -> None:
    file = tmp_path / "open.yaml"
    config = 'config: {addresses: ["tcp://127.0.0.1:2376"], tls_certificate: {open: ""}, lowest_api: OLD}'
    file.write_text(f"moby: 1\nname: x\nextends: [docker]\ncomponents:\n  frontend:\n    use: docker\n    {config}\n")
    with pytest.raises(Invalid) as raised:
        resolve_file(str(file))
    assert [each.message.partition(" of ")[0] for each in raised.value.problems] == ["option lowest_api"]
