"""What the user gave and we cannot use.

Modules raise `InputError`; a script's `command_line.sentence` turns it into one sentence and exit status 2. Any other exception
is a fault of ours and keeps its traceback.
"""


class InputError(ValueError):
    """What the user gave cannot be used; the message is one sentence naming the bad value and what to do."""
