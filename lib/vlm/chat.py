"""The prompts of each model family, and the place of `<video>` in them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chat:
    """A prompt format: `opening` + question + `closing`.

    >>> VICUNA.prompt("What moves?")
    'USER: <video>\\nWhat moves? ASSISTANT:'
    >>> VICUNA.question("USER: <video>\\nWhat moves? ASSISTANT:")
    'What moves?'
    """

    opening: str
    closing: str

    @classmethod
    def of(cls, template: str) -> "Chat":
        """From a whole prompt with {question} in it. Raises ValueError unless `<video>` stands once, before it.

        >>> Chat.of("USER: <video>\\n{question} ASSISTANT:") == VICUNA
        True
        """
        opening, found, closing = template.partition("{question}")
        if not found or opening.count("<video>") != 1 or "<video>" in closing:
            raise ValueError(f"the prompt {template!r} needs <video> once, and {{question}} behind it")
        return cls(opening, closing)

    def prompt(self, question: str) -> str:
        return f"{self.opening}{question}{self.closing}"

    def question(self, prompt: str) -> str:
        """The question in a prompt: the text between the opening and the closing."""
        return prompt.partition(self.opening)[2].removesuffix(self.closing)

    def check(self, prompt: str, has_video: bool) -> None:
        """Raises ValueError unless `<video>` stands once, in the right place, and the prompt ends with its closing."""
        fix = f"write {self.prompt('...')!r}, as VideoLM.prompt('...') does"
        count = prompt.count("<video>")
        if not has_video and count:
            raise ValueError(f"the prompt {prompt!r} holds <video> but there are no frames: pass the frames of a clip")
        if has_video and count != 1:
            raise ValueError(f"the prompt {prompt!r} holds <video> {count} times where 1 belongs: {fix}")
        if has_video and self.opening not in prompt:
            raise ValueError(f"<video> stands in the wrong place of the prompt {prompt!r}: {fix}")
        if not prompt.endswith(self.closing.strip(" ")):
            raise ValueError(f"the prompt {prompt!r} must end in {self.closing.strip(' ')!r}: {fix}")


VICUNA = Chat("USER: <video>\n", " ASSISTANT:")  # model card of LLaVA-NeXT-Video-7B-hf
QWEN = Chat("<|im_start|>user\n<video>\n", "<|im_end|>\n<|im_start|>assistant\n")  # transformers' OneVision conversion
# Of the 34B: LLaVA-NeXT `llava/conversation.py`, chatml_direct. No line break follows <|im_end|>.
YI = Chat(
    "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<video>\n",
    "<|im_end|><|im_start|>assistant\n",
)
# SlowFast-LLaVA has its own prompt (apple/ml-slowfast-llava `prompt.py`, image_seq_v3).
KEY_FRAMES = (
    "The input consists of a sequence of key frames from a video. Answer concisely with overall content and context "
    "of the video, highlighting any significant events, characters, or objects that appear throughout the video. "
    "Question: "
)
SLOWFAST_VICUNA = Chat(f"USER: <video>\n{KEY_FRAMES}", " \nASSISTANT:\nAnswer: In the video,")
