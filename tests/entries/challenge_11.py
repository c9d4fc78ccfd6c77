"""More frames: traced."""


def entry():
    return {"frames": 28}
