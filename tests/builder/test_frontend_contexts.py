"""Where the Dockerfile and its context are found."""

import pytest
from frontend_parts import Answers
from moby_builder.dockerfile.frontend.planning import plan
from moby_builder.dockerfile.operations import GitSource, HttpSource, LocalSource, StreamSource, ancestors

from moby.contracts.builder import BuildFailed, Request, Selection
from moby.errors import Invalid

FILE = b"FROM scratch\nCOPY a /\n"


def sources(request, folders):
    """Return the sources of what a request comes to, and what was asked for on the way."""
    lookup = Answers(folders)
    made = plan(request, lookup)
    nodes = [each for each in ancestors(made.targets[0].root) if not each.inputs and each.name]
    return {each.name: each.operation for each in nodes}, lookup.asked


class TestLent:
    def test_a_folder_of_its_own(self):
        found, asked = sources(Request(), {"dockerfile": {"Dockerfile": FILE}, "context": {}})
        assert found == {"[internal] load build context": LocalSource("context", Selection(follow=("a",)))}
        assert asked == [
            "[internal] load build definition from Dockerfile: Dockerfile",
            "[internal] load build definition from Dockerfile: Dockerfile.dockerignore",
            "[internal] load .dockerignore: .dockerignore",
        ]

    def test_the_context_has_it(self):
        _, asked = sources(Request(dockerfile="./sub/My.df"), {"context": {"sub/My.df": FILE}})
        assert asked[:2] == ["[internal] load build definition from sub/My.df: sub/My.df"] * 2

    def test_a_name_in_lower_case(self):
        made = plan(Request(dockerfile="d/Dockerfile"), Answers({"dockerfile": {"d/dockerfile": FILE}}))
        assert made.source == FILE.decode()

    def test_another_name_has_one_case(self):
        with pytest.raises(BuildFailed, match="failed to read dockerfile: open Other: no such file or directory"):
            plan(Request(dockerfile="Other"), Answers({"dockerfile": {"other": FILE}}))

    def test_the_context_is_left_alone_where_nothing_is_copied(self):
        found, asked = sources(Request(), {"dockerfile": {"Dockerfile": b"FROM localhost/box\nRUN true\n"}})
        assert not any(isinstance(each, LocalSource) for each in found.values())
        assert not any(".dockerignore" in each.partition(": ")[0] for each in asked)

    def test_what_is_ignored(self):
        folders = {"dockerfile": {"Dockerfile": FILE}, "context": {".dockerignore": b"*.o\n!b.o\n# no\n"}}
        found, _ = sources(Request(), folders)
        assert found["[internal] load build context"] == LocalSource(
            "context", Selection(exclude=("*.o", "!b.o"), follow=("a",))
        )

    def test_what_its_own_file_ignores(self):
        folders = {
            "dockerfile": {"x.df": FILE, "x.df.dockerignore": b"own"},
            "context": {".dockerignore": b"common"},
        }
        found, asked = sources(Request(dockerfile="x.df"), folders)
        assert found["[internal] load build context"] == LocalSource(
            "context", Selection(exclude=("own",), follow=("a",))
        )
        assert "[internal] load .dockerignore: .dockerignore" not in asked

    @pytest.mark.parametrize(
        ("copied", "follow"),
        [
            ("a ./b /c/", ("a", "b", "c")),
            ("a/../x y/* ", ("x", "y/*")),
            (". a", ()),
            ("../../a", ("a",)),
        ],
    )
    def test_only_what_is_copied_is_wanted(self, copied, follow):
        file = f"FROM scratch\nCOPY {copied} /to/\n".encode()
        found, _ = sources(Request(), {"dockerfile": {"Dockerfile": file}})
        assert found["[internal] load build context"].selection.follow == follow

    def test_what_several_stages_copy_is_fetched_once(self):
        file = b"FROM scratch AS one\nCOPY b /\nFROM scratch\nCOPY a /\nCOPY --from=one b /\nFROM scratch AS no\n"
        found, _ = sources(Request(target="1"), {"dockerfile": {"Dockerfile": file + b"COPY c /\n"}})
        assert found["[internal] load build context"].selection.follow == ("a", "b")

    def test_a_named_folder(self):
        file = b"FROM scratch\nCOPY --from=more x y/ /to/\n"
        folders = {"dockerfile": {"Dockerfile": file}, "lib": {".dockerignore": b"y/*.o"}}
        found, asked = sources(Request(contexts={"more": "local:lib"}), folders)
        assert found["[context more] load from client"] == LocalSource(
            "lib", Selection(exclude=("y/*.o",), follow=("x", "y"))
        )
        assert "[context more] load .dockerignore: .dockerignore" in asked

    def test_a_mount_uses_all_of_a_folder(self):
        file = b"FROM localhost/box\nRUN --mount=from=more,target=/m --mount=target=/c,source=sub true\n"
        found, _ = sources(Request(contexts={"more": "local:lib"}), {"dockerfile": {"Dockerfile": file}})
        assert found["[context more] load from client"] == LocalSource("lib")
        assert found["[internal] load build context"] == LocalSource("context", Selection(follow=("sub",)))


class TestRemote:
    URL = "https://127.0.0.1/a"

    def test_a_repository(self):
        url = f"{self.URL}.git#main:sub"
        source = GitSource(f"{self.URL}.git", "main", "sub")
        found, _ = sources(Request(context=url), {f"{self.URL}.git": {"Dockerfile": FILE}})
        assert found == {f"[internal] load git source {url}": source}

    def test_a_repository_that_keeps_its_own_folder(self):
        request = Request(context=f"{self.URL}.git", arguments={"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"})
        found, _ = sources(request, {f"{self.URL}.git": {"Dockerfile": FILE}})
        assert [each.keep_git for each in found.values()] == [True]

    def test_a_dockerfile_of_the_client_for_a_repository(self):
        folders = {"dockerfile": {"Dockerfile": FILE}, f"{self.URL}.git": {"Dockerfile": b"FROM none\n"}}
        assert plan(Request(context=f"{self.URL}.git"), Answers(folders)).source == FILE.decode()

    def test_what_a_repository_ignores_is_not_asked(self):
        _, asked = sources(Request(context=f"{self.URL}.git"), {f"{self.URL}.git": {"Dockerfile": FILE}})
        assert not any(each.endswith(": .dockerignore") for each in asked)

    def test_an_archive_of_a_url(self):
        found, _ = sources(Request(context=f"{self.URL}.tgz"), {f"{self.URL}.tgz": {"Dockerfile": FILE}})
        assert found == {"[internal] load remote build context": HttpSource(f"{self.URL}.tgz", "context", unpack=True)}

    def test_a_dockerfile_of_a_url(self):
        made = plan(Request(context=self.URL), Answers({self.URL: {"context": b"FROM localhost/box\nENV A=1\n"}}))
        assert (made.file, made.targets[0].config["config"]["Env"]) == ("context", ["PATH=/bin", "A=1"])

    def test_an_archive_that_is_sent(self):
        found, _ = sources(Request(context="stream:s1"), {"s1": {"Dockerfile": FILE}})
        assert found == {"[internal] load remote build context": StreamSource("s1")}

    def test_it_has_no_dockerfile(self):
        with pytest.raises(BuildFailed, match="open Dockerfile: no such file"):
            plan(Request(context=self.URL), Answers({self.URL: {"other": b""}}))

    def test_no_context(self):
        with pytest.raises(Invalid, match="no context is called 'here'"):
            plan(Request(context="here"), Answers({}))
