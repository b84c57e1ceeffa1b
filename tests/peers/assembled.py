"""Distributions that tests assemble, each as one file."""


def assembled(folder, name, manifest=""):
    """Assemble a manifest of that name, or the shipped assembly where there is none; return the pyz."""
    from moby import distribution  # whose imports most tests can do without, those inside guests above all

    given = name
    if manifest:
        given = folder / f"{name}.yaml"
        given.write_text(manifest)
    distribution.assemble(given, folder)
    return folder / name / f"{name}.pyz"
