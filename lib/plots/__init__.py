"""Every figure of the course. A function takes data and returns a Figure; a notebook shows it as a cell's last line."""

from lib.plots.base import COLORS, FONT, canvas, feature_colours, style, titled
from lib.plots.costs import frames_per_card, hour_ranges, shard_map
from lib.plots.frames import asked_and_got, clock, frame_strip, named_pictures, packet_order, timeline
from lib.plots.progress import guesses_plot, progress_board, team_board
from lib.plots.scores import (
    detail_against_time,
    paired_scores,
    pareto,
    score_curves,
    score_intervals,
    scores_by_budget,
    share_table,
)
from lib.plots.tokens import (
    anyres_crops,
    anyres_maps,
    anyres_page,
    attention_maps,
    needed_tokens,
    pipeline,
    pooled_maps,
    reading_maps,
    rope_angles,
    rows_of_grids,
    spent_tokens,
    stacked_bars,
    token_grids,
    token_numbers,
    token_strips,
    token_timelines,
    token_views,
)
from lib.plots.training import gains_over_steps, loss_curves, preference_losses
