"""Instructions to a model in what strangers wrote: tool results, pages, files. A signal, never a wall."""

from mohist.guard.injection.detector import InjectionDetector, injection_detector

__all__ = ["InjectionDetector", "injection_detector"]
