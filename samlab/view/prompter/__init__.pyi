from .prompter import Prompter as Prompter
from .prompter import Proposal as Proposal
from .prompter import favourite as favourite
from .prompter import prompt as prompt
from .prompter import propose as propose
from .prompter import warm_up as warm_up
