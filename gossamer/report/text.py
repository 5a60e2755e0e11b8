"""Text from files, made safe to print."""


def clean(text: object) -> str:
    """Text that cannot steer a terminal: a file's names and messages may hold anything."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(text))
