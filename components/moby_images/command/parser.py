"""The arguments of `image` and of the verbs that Docker has beside it."""

import argparse

__all__ = ["DEFAULT_NAME", "VERBS", "parser"]

DEFAULT_NAME = "host:latest"
VERBS = {
    "images": "ls", "load": "load", "save": "save", "rmi": "rm", "tag": "tag", "history": "history",
    "import": "import", "pull": "pull", "push": "push", "login": "login", "logout": "logout",
}  # fmt: skip
"""Docker's verbs beside `image`, and what each is of it."""


def parser(program: str) -> argparse.ArgumentParser:
    """Return the parser of `image`."""
    found = argparse.ArgumentParser(prog=program, description="Manage images.", allow_abbrev=False)
    verbs = found.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    adders = (
        _from_host, _ls, _inspect, _history, _tag, _rm, _prune, _pull, _push, _load, _save, _import, _login, _logout,
    )  # fmt: skip
    for add in adders:
        add(verbs)
    return found


def _from_host(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    made = verbs.add_parser("from-host", help="make an image out of this host's own programs", allow_abbrev=False)
    made.description = (
        "Make an image out of this host's own programs and the libraries that they load; "
        "without names, out of a shell and the usual small tools. The same files give the same image."
    )
    made.add_argument("-t", "--tag", default=DEFAULT_NAME, metavar="NAME[:TAG]", help=f"its name ({DEFAULT_NAME})")
    made.add_argument(
        "--add", action="append", default=[], metavar="PATH[:DEST]",
        help="add a file or folder as it is, without what it loads; DEST is absolute",
    )  # fmt: skip
    made.add_argument("--json", action="store_true", help="print what was made as JSON")
    made.add_argument("binary", nargs="*", metavar="BINARY", help="a program on PATH, or the path of one")


def _ls(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listed = verbs.add_parser("ls", help="list images", allow_abbrev=False)
    listed.add_argument("-a", "--all", action="store_true", help="include untagged images that others are based on")
    listed.add_argument(
        "-f", "--filter", action="append", default=[], metavar="KEY=VALUE", help="list only matching images"
    )
    listed.add_argument("-q", "--quiet", action="store_true", help="print ids only")
    listed.add_argument("--no-trunc", action="store_true", help="don't truncate ids")
    listed.add_argument("--digests", action="store_true", help="print digests too")
    listed.add_argument("--json", action="store_true", help="print JSON")
    listed.add_argument("repository", nargs="?", metavar="REPOSITORY[:TAG]")


def _inspect(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    inspected = verbs.add_parser("inspect", help="show all about images, as JSON", allow_abbrev=False)
    inspected.add_argument("--json", action="store_true", help="print JSON, which it always does")
    inspected.add_argument("image", nargs="+", metavar="IMAGE")


def _history(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    history = verbs.add_parser("history", help="show the steps that an image was made by", allow_abbrev=False)
    history.add_argument("-q", "--quiet", action="store_true", help="print ids only")
    history.add_argument("--no-trunc", action="store_true", help="don't truncate output")
    history.add_argument("--json", action="store_true", help="print JSON")
    history.add_argument("image", metavar="IMAGE")


def _tag(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tagged = verbs.add_parser("tag", help="give an image one more name", allow_abbrev=False)
    tagged.add_argument("source", metavar="SOURCE_IMAGE[:TAG]")
    tagged.add_argument("target", metavar="TARGET_IMAGE[:TAG]")


def _rm(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    removed = verbs.add_parser("rm", help="remove images", allow_abbrev=False)
    removed.add_argument("-f", "--force", action="store_true", help="also remove images that stopped containers use")
    removed.add_argument("--no-prune", action="store_true", help="keep the untagged images it was based on")
    removed.add_argument("image", nargs="+", metavar="IMAGE")


def _prune(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    pruned = verbs.add_parser("prune", help="remove images that nothing uses", allow_abbrev=False)
    pruned.add_argument("-a", "--all", action="store_true", help="also remove tagged images")
    pruned.add_argument("-f", "--force", action="store_true", help="don't ask")
    pruned.add_argument("--filter", action="append", default=[], metavar="KEY=VALUE", help="until, label, label!")


def _pull(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    pulled = verbs.add_parser("pull", help="fetch an image from an image registry", allow_abbrev=False)
    pulled.add_argument("-a", "--all-tags", action="store_true", help="all images of the repository")
    pulled.add_argument("-q", "--quiet", action="store_true", help="print no progress")
    pulled.add_argument(
        "--platform", metavar="OS/ARCH[/VARIANT]", help="which platform's image to take from a multi-platform image"
    )
    pulled.add_argument("name", metavar="NAME[:TAG|@DIGEST]")


def _push(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    pushed = verbs.add_parser("push", help="send an image to an image registry", allow_abbrev=False)
    pushed.add_argument("-a", "--all-tags", action="store_true", help="all images of the repository")
    pushed.add_argument("-q", "--quiet", action="store_true", help="print no progress")
    pushed.add_argument("name", metavar="NAME[:TAG]")


def _login(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    login = verbs.add_parser("login", help="log in to an image registry", allow_abbrev=False)
    login.add_argument("-u", "--username", default="", metavar="NAME")
    login.add_argument("-p", "--password", default="", metavar="TEXT")
    login.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    login.add_argument("server", nargs="?", default="", metavar="SERVER", help="HOST[:PORT]; without it, Docker Hub")


def _logout(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    logout = verbs.add_parser("logout", help="log out of an image registry", allow_abbrev=False)
    logout.add_argument("server", nargs="?", default="", metavar="SERVER", help="HOST[:PORT]; without it, Docker Hub")


def _load(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    loaded = verbs.add_parser("load", help="load images from an archive", allow_abbrev=False)
    loaded.add_argument("-i", "--input", metavar="FILE", help="read it from a file, instead of standard input")
    loaded.add_argument("-q", "--quiet", action="store_true", help="print no progress")
    loaded.add_argument(
        "--platform", metavar="OS/ARCH[/VARIANT]", help="which platform's image to take from a multi-platform image"
    )


def _save(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    saved = verbs.add_parser("save", help="write images to an archive", allow_abbrev=False)
    saved.add_argument("-o", "--output", metavar="FILE", help="write it to a file, instead of standard output")
    saved.add_argument("image", nargs="+", metavar="IMAGE")


def _import(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    imported = verbs.add_parser("import", help="make an image of a file system in a tar", allow_abbrev=False)
    imported.add_argument(
        "-c", "--change", action="append", default=[], metavar="LINE", help="Dockerfile instruction to apply"
    )
    imported.add_argument("-m", "--message", default="", metavar="TEXT", help="commit message")
    imported.add_argument("--platform", metavar="OS/ARCH[/VARIANT]", help="platform of the image")
    imported.add_argument("file", metavar="FILE", help="the tar; - is standard input")
    imported.add_argument("repository", nargs="?", metavar="REPOSITORY[:TAG]")
