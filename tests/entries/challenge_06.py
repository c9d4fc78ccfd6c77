"""The 32 patches of the last frame that stand out from its background; the question is not even needed."""


def entry(features, project, question):
    frame = features[-1].flatten(0, 1)
    apart = (frame - frame.median(dim=0).values).norm(dim=1)
    return project(frame)[apart.topk(32).indices.sort().values]
