from .cards import class_cards_html as class_cards_html
from .tables import class_table as class_table
from .tables import class_table_html as class_table_html
from .tables import facts_html as facts_html
from .tables import summary_html as summary_html
