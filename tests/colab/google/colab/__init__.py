"""A stand-in for Colab's own package: its presence is what libraries take for Colab."""

from types import SimpleNamespace

output = SimpleNamespace(
    enable_custom_widget_manager=lambda: None,
    disable_custom_widget_manager=lambda: None,
)
