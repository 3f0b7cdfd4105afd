from atlpa.evaluation import Check
from atlpa.evaluation.checks import percent, rate_status


def mirrored(context):
    same = context.right(context.model, context.images.flip(3), context.labels)
    lost = int((context.clean & ~same).sum())
    text = f"{percent(context.clean)} as given, {percent(same)} mirrored"
    return rate_status(lost, int(context.clean.sum()), 0.5), text


advice = "train with mirrored images, or do not call the model robust"
expected = "at most half of what is right is lost when images are mirrored"
check = Check(name="mirrored", expected=expected, source="ours", advice=advice, make=mirrored)
