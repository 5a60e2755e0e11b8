"""gossamer doctor: is everything here that Gossamer needs?"""

from .options import AsJson, DataDir
from .output import print_json, show


def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> int:
    """Look at this installation: packages, processor, caches, data sets.

    Exit status: 0 if everything that simulating needs is in order, 1 if not. What only training, NIR or pictures need
    is reported and not counted.
    """
    from ..doctor import examine
    from ..report.tables import table

    findings = examine(data_dir)
    healthy = all(f.good for f in findings if f.needed)
    if as_json:
        print_json({"healthy": healthy, "findings": [f.to_dict() for f in findings]})
    else:
        rows = [[f.mark, f.what, f.found, f.remedy] for f in findings]
        show(table("Gossamer on this machine", ("", "what", "found", "what to do"), rows))
        show(
            "everything that simulating needs is in order" if healthy else "something that simulating needs is missing"
        )
    return 0 if healthy else 1
