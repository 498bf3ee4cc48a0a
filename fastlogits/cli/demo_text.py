"""The demo as people read it."""

from __future__ import annotations

import math

from rich.text import Text

from fastlogits.cli.demo import BIAS, BIASED, CUTS, PENALTIES, TEMPERATURE, Demo, Share, Stage, Token
from fastlogits.cli.screen import Screen, duration, percent


def show(demo: Demo) -> None:
    """Print the demo."""
    Teller(Screen(), demo).tell()


class Teller:
    """Shows a `Demo` on a screen."""

    def __init__(self, view: Screen, demo: Demo) -> None:
        self.view, self.demo = view, demo
        every = [share for stage in demo.stages for share in stage.shares] + demo.bias
        self.piece_width = max(len(view.quoted(share.piece)) for share in every)
        # Margin, piece, probability and sign of change, with a space behind each, stand beside one bar or two.
        room = view.width - (3 + self.piece_width + 8 + 1 + 4)
        self.both = room - 10 >= 16
        self.bar_width = max((room - 10) // 2 if self.both else room, 4)

    def tell(self) -> None:
        """The whole story."""
        demo, view = self.demo, self.view
        view.print(
            f"fastlogits {demo.version} · {demo.isa} · rows of {demo.vocab:,} logits from {demo.model}", style="dim"
        )
        view.title("The text so far")
        view.print(Text.assemble((view.plain(demo.prompt), "bold"), view.plain(demo.generated), ("_", "dim")))
        view.title("From logits to the next token, step by step")
        sides = ", before each step (left) and after it (right)" if self.both else " after each step"
        view.print(f"Probabilities of some tokens{sides}.", style="dim")
        for number, each in enumerate(demo.stages, start=1):
            self.stage(number, each)
        self.bias()
        self.draw(demo.tokens[0])
        self.course()
        view.title("How the row was worked on: Sampler.explain")
        view.raw(str(demo.explained))
        self.timing()
        view.title("On your own logits")
        view.raw("fastlogits sample logits.npy --temperature 0.8 --top-k 50 --seed 7")
        view.raw("fastlogits explain logits.npy --top-p 0.95 --row 0")

    def stage(self, number: int, stage: Stage) -> None:
        """One step, its meaning and what it changed."""
        self.view.print()
        self.view.print(f"{number}  {stage.step}", style="bold")
        self.view.print(stage.meaning, style="dim", indent=3)
        self.bars(stage.shares, full=self.largest([s for stage in self.demo.stages for s in stage.shares]))
        if stage.removed > 0:
            left = f"{stage.kept:,} tokens are left; those removed held {percent(stage.removed)}"
            self.view.print(left, style="dim", indent=3)

    def largest(self, shares: list[Share]) -> float:
        """The largest probability on either side: the one with a full bar."""
        return max(p for share in shares for p in (share.before, share.after) if p is not None)

    def bars(self, shares: list[Share], full: float) -> None:
        """A line per token: its text, bars and probabilities on both sides, and which way it went."""
        view, width = self.view, self.bar_width
        before = [width, 8] if self.both else []
        grid = view.grid([2, self.piece_width, *before, width, 8, 1], right=(3, 5) if self.both else (3,))
        for share in shares:
            change = (share.after or 0.0) - (share.before or 0.0)
            style, sign = ("red", "▼") if change < -5e-4 else ("green", "▲") if change > 5e-4 else ("cyan", "")
            cells = [Text(), Text(view.quoted(share.piece), style="" if share.after else "dim")]
            if self.both:
                cells += [view.bar((share.before or 0.0) / full, width, "bright_black"), Text(chance(share.before))]
            cells += [view.bar((share.after or 0.0) / full, width, style), Text(chance(share.after))]
            grid.add_row(*cells, Text(view.plain(sign), style=style))
        view.print(grid)

    def bias(self) -> None:
        """What the bias does to the final distribution."""
        piece = next(share.piece for share in self.demo.bias if share.id == BIASED)
        total = BIAS / TEMPERATURE
        self.view.title(f"A bias of {BIAS:+g} on {self.view.quoted(piece)}")
        self.view.print(
            f"LogitBias({{{BIASED}: {BIAS:g}}}) multiplies its odds by e^{BIAS:g} = {math.exp(BIAS):,.0f}, and ahead of"
            f" Temperature({TEMPERATURE}) by e^{total:g} = {math.exp(total):,.0f}."
            f" What is drawn from {'without it (left) and with it (right)' if self.both else 'with it'}:",
            style="dim",
        )
        self.bars(self.demo.bias, self.largest(self.demo.bias))

    def draw(self, token: Token) -> None:
        """The first token in full."""
        view = self.view
        view.title("The draw")
        view.print(
            f"Seed {self.demo.seed} and position {token.position} give u = {token.u:.6f}. Drawn is the first survivor,"
            " in id order, whose running probability exceeds u:",
            style="dim",
        )
        view.print()
        facts = view.grid([2, 8, None])
        facts.columns[2].no_wrap = False
        facts.add_row("", "token", Text(f"{view.quoted(token.piece)}, id {token.id}", style="bold green"))
        drawn, raw = percent(math.exp(token.logprob)), percent(math.exp(token.raw_logprob))
        facts.add_row("", "log-prob", f"{token.logprob:.4f} ({drawn}) in what it is drawn from")
        facts.add_row("", "raw", f"{token.raw_logprob:.4f} ({raw}) in the logits as they came")
        facts.add_row("", "rank", str(token.rank))
        view.print(facts)
        view.print()
        view.print(f"The {len(token.top)} likeliest, with their log-probs:", style="dim")
        width = max(min(self.bar_width, view.width - self.piece_width - 22), 4)
        best = view.grid([2, self.piece_width, 8, width, 8], right=(2, 4))
        full = math.exp(max(other.logprob for other in token.top))
        for other in token.top:
            share = math.exp(other.logprob)
            bar = view.bar(share / full, width, "green" if other.id == token.id else "cyan")
            best.add_row("", view.quoted(other.piece), f"{other.logprob:.4f}", bar, percent(share))
        view.print(best)

    def course(self) -> None:
        """All tokens in sequence, and the text they make."""
        view, demo = self.view, self.demo
        view.title(f"{len(demo.tokens)} tokens in sequence")
        view.print("A row for each token, computed behind the recorded text.", style="dim")
        view.print()
        table = view.table(["", "token", "log-prob", "raw", "rank", "likeliest"], left=2)
        table.columns[5].justify = "left"
        pieces = max(len(view.quoted(token.piece)) for token in demo.tokens)
        room = view.width - (1 + pieces + 8 + 6 + 4 + 5 * 2)
        for token in demo.tokens:
            best = ""
            for other in token.top:
                longer = f"{best}  {view.quoted(other.piece)} {percent(math.exp(other.logprob))}".strip()
                if len(longer) > room:
                    break
                best = longer
            mark = "" if token.recorded else view.plain("×")
            scores = f"{token.logprob:.3f}", f"{token.raw_logprob:.3f}", str(token.rank)
            table.add_row(mark, view.quoted(token.piece), *scores, best)
        view.print(table)
        view.print()
        if all(token.recorded for token in demo.tokens):
            last_line = demo.generated[demo.generated.rfind("\n") + 1 :]
            drawn = "".join(token.piece for token in demo.tokens)
            view.print(Text.assemble(view.plain(last_line), (view.plain(drawn), "bold green")))
        else:
            view.print(
                "× leaves the recorded text. Every row was computed behind the recorded tokens, so each token is a"
                " choice at its own place, and together they are no text.",
                style="dim",
            )

    def timing(self) -> None:
        """One row compared with NumPy."""
        view, timing = self.view, self.demo.timing
        view.title("How long one row took")
        view.print(
            f"All {len(PENALTIES + CUTS)} steps and the draw on one core, median of {timing.rounds} rounds in turns;"
            f" both leave the same {timing.survivors} tokens.",
            style="dim",
        )
        lines = [
            ("fastlogits", timing.fastlogits, "green"),
            ("  from float16", timing.fastlogits_float16, "green"),
            ("NumPy", timing.numpy, "bright_black"),
        ]
        view.print()
        longest, width = max(seconds for _, seconds, _ in lines), max(view.width - 32, 4)
        grid = view.grid([2, 14, 8, width], right=(2,))
        for name, seconds, style in lines:
            grid.add_row("", name, duration(seconds), view.bar(seconds / longest, width, style))
        view.print(grid)
        view.print()
        view.print(f"NumPy takes {timing.ratio:.1f} times as long.", style="bold", indent=3)


def chance(share: float | None) -> str:
    """A probability, or that the token is not among the survivors."""
    return "cut" if share is None else percent(share)
