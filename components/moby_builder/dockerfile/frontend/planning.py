"""Plans: a request and its Dockerfile, turned into what is to be built."""

from moby.contracts.builder import Finding, Request, Step
from moby.contracts.types import Platform
from moby.errors import Invalid, Unsupported
from moby.oci import reference as references
from moby.values import evolve
from moby_builder.dockerfile.frontend import answers, checks, platforms, substitution
from moby_builder.dockerfile.frontend.contexts import Contexts, Definition
from moby_builder.dockerfile.frontend.plan import Lookup, Plan, PlannedTarget
from moby_builder.dockerfile.frontend.scanning import extras, scanned
from moby_builder.dockerfile.frontend.stages import Site
from moby_builder.dockerfile.frontend.surroundings import Surroundings
from moby_builder.dockerfile.frontend.translation import Translation
from moby_builder.dockerfile.language import directives, parser
from moby_builder.dockerfile.language.expansion import file_arguments
from moby_builder.dockerfile.language.instructions import Arg, Dockerfile
from moby_builder.dockerfile.operations import Node

__all__ = ["plan"]

_OWN = frozenset({"docker/dockerfile", "docker/dockerfile-upstream"})
"""Images of front ends whose language this is, on any registry."""
_ALWAYS = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH"})
"""Arguments, in upper case, that mean something though nobody declares them."""
_TRUE = frozenset({"1", "t", "true"})


def plan(request: Request, lookup: Lookup) -> Plan:
    """Return what a request comes to.

    BuildFailed where the Dockerfile is at fault; Invalid for a request that makes no sense; Unsupported for a front end
    that isn't here; else whatever a lookup raises.
    """
    contexts = Contexts(request, lookup)
    definition = contexts.definition()
    _check_syntax(request, definition)
    if request.request:
        return answers.answer(
            request, definition, contexts, lambda file: _translations(file, request, lookup, contexts)[0]
        )
    dockerfile = checks.asked(parser.parse(definition.data, definition.name), request)
    translations = _translations(dockerfile, request, lookup, contexts)
    sites = [each.target(request.target) for each in translations]
    found = checks.find(dockerfile, translations[0], request, contexts, definition)
    more = [extras(site, each.needed, each.around) for site, each in zip(sites, translations, strict=True)]
    steps = [step for site in translations[0].needed for step in site.steps]
    roots = substitution.replaced(
        [
            *(node for _, node in steps if node is not None),
            *(site.root for site in sites),
            *(extra.root for each in more for extra in each),
        ],
        {id(each.stand_in): each.node() for each in contexts.folders()},
    )
    others = [tuple(evolve(extra, root=roots[id(extra.root)]) for extra in each) for each in more]
    targets = (
        _target(site, platform, roots[id(site.root)], request)
        for site, platform in zip(sites, _platforms(request), strict=True)
    )
    return Plan(
        scanned(tuple(targets), others, request, lookup),
        tuple(Step(text, None if node is None else roots[id(node)].digest) for text, node in steps),
        (*found, *_unused(dockerfile, request, definition)),
        file=definition.name,
        source=dockerfile.source,
    )


def _translations(
    dockerfile: Dockerfile, request: Request, lookup: Lookup, contexts: Contexts
) -> tuple[Translation, ...]:
    """Return a translation for each platform that is asked for."""
    host = platforms.normalize(Platform.host())
    targets = _platforms(request)
    several = len(targets) > 1 or request.arguments.get("BUILDKIT_MULTI_PLATFORM", "").lower() in _TRUE
    made = []
    for target in targets:
        stage = request.target or dockerfile.stages[-1].origin.name or "default"
        predefined = {**platforms.predefined(host, target), "TARGETSTAGE": stage}
        around = Surroundings(
            request,
            lookup,
            contexts,
            target,
            several,
            file_arguments(dockerfile, request.arguments, predefined),
            predefined,
            dockerfile.escape,
            _epoch(request),
        )
        made.append(Translation(dockerfile, around))
    return tuple(made)


def _target(site: Site, platform: Platform, root: Node, request: Request) -> PlannedTarget:
    """Return a stage as what is asked for: with the request's labels, for the platform."""
    draft = site.draft.copy()
    if request.platforms:
        draft.be(platform)
    if request.labels:
        draft.config["Labels"] = {**(draft.config.get("Labels") or {}), **request.labels}
    return PlannedTarget(platform, root, draft.document(_epoch(request)))


def _check_syntax(request: Request, definition: Definition) -> None:
    """Refuse a file that another front end is to read."""
    source = definition.data.decode("utf-8", "replace")
    wanted = request.arguments.get("BUILDKIT_SYNTAX", "").strip().partition(" ")[0] or directives.syntax(source)
    if not wanted:
        return
    if references.parse(wanted).path not in _OWN:
        raise Unsupported(
            f"{definition.name} asks for the front end {wanted}, and this builder has none but docker/dockerfile",
            hint="leave the line `# syntax=` away, or name docker/dockerfile",
        )


def _platforms(request: Request) -> tuple[Platform, ...]:
    return tuple(map(platforms.normalize, request.platforms or (Platform.host(),)))


def _epoch(request: Request) -> int | None:
    text = request.arguments.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"invalid SOURCE_DATE_EPOCH: {text}", hint="give seconds since 1970") from None


def _unused(dockerfile: Dockerfile, request: Request, definition: Definition) -> tuple[Finding, ...]:
    """Tell of arguments that are given and that nobody declares."""
    written = (dockerfile.arguments, *(stage.instructions for stage in dockerfile.stages))
    declared = {
        argument.name
        for instructions in written
        for instruction in instructions
        if isinstance(instruction, Arg)
        for argument in instruction.arguments
    }
    known = declared | set(platforms.predefined(Platform(), Platform())) | {"TARGETSTAGE"}
    unused = sorted(
        name
        for name in request.arguments
        if name not in known and name.upper() not in _ALWAYS and not name.startswith("BUILDKIT_")
    )
    if not unused:
        return ()
    message = f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed"
    return (
        Finding(
            definition.node.digest,
            "UndeclaredBuildArg",
            message,
            file=definition.name,
            source=dockerfile.source,
        ),
    )
