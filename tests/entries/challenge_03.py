"""The overview alone: its tokens read the code, and nothing is shown twice."""


def entry(crops, project):
    return project(crops[0]).flatten(0, 1)
