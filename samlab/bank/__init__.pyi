from .examples import box_examples as box_examples
from .head_training import train_head as train_head
from .head_training import train_prototypes as train_prototypes
from .heads import Head as Head
from .memory_bank import MemoryBank as MemoryBank
