"""The sounds of the synthetic corpus: one small function a class, made of noise, harmonics and pulses.

Signals are mono float64 of any level, shape (sample,), at one sampling rate; times are in seconds,
frequencies in hertz.
A renderer takes two random streams. `source` restarts for every clip of a recording, so that its clips share
the pitch, rate and timbre drawn from it; `events` is the clip's own.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 22_050
STEP_S = 0.02
"""Durations are whole steps, so that two decimals in a table give the length of a file exactly."""

Signal = npt.NDArray[np.float64]
Rng = np.random.Generator
Renderer = Callable[[Rng, Rng, int], Signal]
"""From (source, events, n_samples) to the object's signal, shape (sample,), level arbitrary."""


def normalise(signal: Signal) -> Signal:
    """Return the signal at unit root mean square."""
    return signal / float(np.sqrt(np.mean(signal**2)))


def seconds_to_samples(duration_s: float) -> int:
    """Return a length in whole steps, which factors well and so keeps the transforms of short events fast."""
    return round(duration_s / STEP_S) * round(STEP_S * SAMPLE_RATE_HZ)


def _wander(rng: Rng, n_samples: int, *, rate_hz: float) -> Signal:
    """Return a slow random curve of about unit deviation, with `rate_hz` independent values a second."""
    knots = rng.standard_normal(2 + int(n_samples / SAMPLE_RATE_HZ * rate_hz))
    return np.interp(np.linspace(0, knots.size - 1, n_samples), np.arange(knots.size), knots)


def _fade(n_samples: int, *, attack_s: float, release_s: float) -> Signal:
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    envelope: Signal = np.minimum(1.0, np.minimum(time_s / attack_s, time_s[::-1] / release_s))
    return envelope


def _decay(n_samples: int, *, time_constant_s: float) -> Signal:
    envelope: Signal = np.exp(-np.arange(n_samples) / (time_constant_s * SAMPLE_RATE_HZ))
    return envelope


def _place(n_samples: int, sounds: Iterable[tuple[float, Signal]]) -> Signal:
    """Return the sum of `sounds`, each (start in seconds, signal), cut off at the end of the clip."""
    total = np.zeros(n_samples)
    for start_s, signal in sounds:
        room = total[int(start_s * SAMPLE_RATE_HZ) :]
        room[: signal.size] += signal[: room.size]
    return total


def _sum_harmonics(rng: Rng, fundamental_hz: Signal, amplitudes: Signal) -> Signal:
    """Return harmonics 1, 2, ... of a moving fundamental, at random phases, up to 10 kHz."""
    turn = np.exp(2j * np.pi * np.cumsum(fundamental_hz) / SAMPLE_RATE_HZ)
    weights = amplitudes * np.exp(2j * np.pi * rng.random(amplitudes.size))
    total = np.zeros_like(turn)
    for weight in weights[: int(10_000 / fundamental_hz.max())][::-1]:
        total += weight
        total *= turn
    signal: Signal = total.imag
    return signal


def _shape_noise(rng: Rng, gain: Signal, n_samples: int) -> Signal:
    """Return noise of unit level whose amplitude spectrum follows `gain`, given at the bins of a real FFT."""
    spectrum = rng.standard_normal((gain.size, 2)).view(np.complex128)[:, 0] * gain
    return normalise(np.fft.irfft(spectrum, n_samples))


def _band_noise(rng: Rng, n_samples: int, *, low_hz: float, high_hz: float) -> Signal:
    """Return noise that falls by 12 dB per octave below `low_hz` and above `high_hz`."""
    frequency_hz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ)
    gain = 1 / (1 + (low_hz / np.maximum(frequency_hz, 1.0)) ** 2) / (1 + (frequency_hz / high_hz) ** 2)
    return _shape_noise(rng, gain, n_samples)


def _resonate(signal: Signal, centres_hz: Signal, *, widths_hz: Signal, gains: Signal) -> Signal:
    """Return the sum of parallel two-pole resonances, each of unit gain at its centre times its own gain.

    The filter is circular: what rings beyond the end comes back at the start.
    """
    frequency_hz = np.maximum(np.fft.rfftfreq(signal.size, 1 / SAMPLE_RATE_HZ), 1.0)[:, None]
    detuning = (frequency_hz**2 - centres_hz**2) / (frequency_hz * widths_hz)
    response = (gains / (1 + 1j * detuning)).sum(axis=1)
    return np.fft.irfft(np.fft.rfft(signal) * response, signal.size)


def _pulse_train(rng: Rng, n_samples: int, *, rate_hz: float, strengths: Signal) -> Signal:
    """Return pulses at `rate_hz`, unsteady by 2 %, whose strengths repeat cyclically, varied by 10 %."""
    n_pulses = int(n_samples / SAMPLE_RATE_HZ * rate_hz * 1.2) + 2
    time_s = np.cumsum((1 + 0.02 * rng.standard_normal(n_pulses)) / rate_hz) - rng.random() / rate_hz
    sample = np.rint(time_s * SAMPLE_RATE_HZ).astype(np.int64)
    inside = (sample >= 0) & (sample < n_samples)
    pulses = np.resize(strengths, n_pulses) * (1 + 0.1 * rng.standard_normal(n_pulses))
    train = np.zeros(n_samples)
    train[sample[inside]] = pulses[inside]
    return train


def _plan_bursts(
    rng: Rng, n_samples: int, durations_s: Signal, *, low_gap_s: float, high_gap_s: float
) -> list[tuple[float, float]]:
    """Return (start, duration) of the sounds that begin within the clip, the first almost at once."""
    gaps_s = rng.uniform(low_gap_s, high_gap_s, durations_s.size)
    starts_s = rng.uniform(0.0, 0.08) + np.cumsum(durations_s + gaps_s) - (durations_s + gaps_s)
    inside = starts_s < n_samples / SAMPLE_RATE_HZ
    return list(zip(starts_s[inside].tolist(), durations_s[inside].tolist(), strict=True))


def render_background(scene: Rng, events: Rng, n_samples: int) -> Signal:
    """Return pink to brown noise of unit level, with now and then a faint call or thump far away."""
    frequency_hz = np.maximum(np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ), 40.0)
    noise = _shape_noise(events, frequency_hz ** -scene.uniform(0.5, 1.0), n_samples)
    distant = []
    for _ in range(events.poisson(scene.uniform(0.0, 1.5))):
        n_event = seconds_to_samples(events.uniform(0.1, 0.6))
        pitch_hz = events.uniform(300, 3000) * 2 ** (0.3 * _wander(events, n_event, rate_hz=4.0))
        call = _sum_harmonics(events, pitch_hz, np.array([1.0, 0.4, 0.2]))
        thump = _band_noise(events, n_event, low_hz=60, high_hz=300)
        event = (call if events.random() < 0.6 else thump) * np.hanning(n_event)
        distant.append((events.uniform(0, n_samples / SAMPLE_RATE_HZ), events.uniform(0.1, 0.5) * event))
    return noise * (1 + 0.1 * _wander(events, n_samples, rate_hz=1.0)) + _place(n_samples, distant)


def _render_air_conditioner(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render a fan on a four-pole motor (half the mains rate, less slip), mains hum and low-passed hiss."""
    mains_hz = float(source.choice([50.0, 60.0]))
    blade_hz = mains_hz / 2 * source.uniform(0.92, 0.99) * source.integers(3, 8)
    drift = 1 + 0.002 * _wander(events, n_samples, rate_hz=0.5)
    blades = _sum_harmonics(events, blade_hz * drift, source.uniform(0.3, 1.0, 6) / np.arange(1, 7))
    hum = _sum_harmonics(events, np.full(n_samples, 2 * mains_hz), np.array([1.0, 0.5, 0.25]))
    hiss = _band_noise(events, n_samples, low_hz=100, high_hz=source.uniform(500, 2500))
    level = 1 + 0.05 * _wander(events, n_samples, rate_hz=2.0)
    mix: Signal = normalise(blades) + source.uniform(0.2, 0.8) * hum + source.uniform(0.4, 1.6) * hiss
    return mix * level


def _render_car_horn(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render bursts of two reeds about a third apart, brightened by the resonance of the bell."""
    low_hz = source.uniform(340, 410)
    pair_hz = (low_hz, low_hz * source.uniform(1.17, 1.26))
    amplitudes = np.arange(1, 21) ** -source.uniform(0.4, 1.0)
    bell_hz, mean_s = source.uniform(1500, 3000), source.uniform(0.2, 1.2)
    durations_s = np.clip(events.uniform(0.6, 1.5, 20) * mean_s, 0.15, 1.5)
    bursts = []
    for start_s, duration_s in _plan_bursts(events, n_samples, durations_s, low_gap_s=0.08, high_gap_s=0.6):
        n_burst = seconds_to_samples(duration_s)
        reeds = sum(_sum_harmonics(events, np.full(n_burst, pitch_hz), amplitudes) for pitch_hz in pair_hz)
        bursts.append((start_s, reeds * _fade(n_burst, attack_s=0.015, release_s=0.04)))
    dry = _place(n_samples, bursts)
    bell = _resonate(dry, np.array([bell_hz]), widths_hz=np.array([800.0]), gains=np.array([2.0]))
    return dry + bell


def _render_children_playing(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render overlapping shouts and squeals: gliding voices of 220-950 Hz under three formants."""
    pitches_hz, n_shouts = source.uniform(250, 600, 5), source.integers(9, 20)
    shouts = []
    for _ in range(n_shouts):
        n_shout = seconds_to_samples(events.uniform(0.15, 0.7))
        arch = np.sin(np.linspace(0, np.pi, n_shout)) * events.uniform(-0.2, 0.7)
        vibrato = 0.03 * np.sin(np.linspace(0, 2 * np.pi * events.uniform(0.5, 5), n_shout))
        pitch_hz = events.choice(pitches_hz) * 2 ** (arch + vibrato)
        voice = _sum_harmonics(events, pitch_hz, np.arange(1, 16) ** -0.7)
        breathy = voice + 0.3 * events.standard_normal(n_shout)
        formants_hz = events.uniform([500, 1200, 2500], [1000, 2200, 3200])
        shout = _resonate(breathy, formants_hz, widths_hz=formants_hz / 6, gains=np.array([1, 0.7, 0.3]))
        start_s = events.uniform(-0.1, n_samples / SAMPLE_RATE_HZ - 0.1)
        shouts.append((max(start_s, 0.0), events.uniform(0.15, 1.0) * shout * np.hanning(n_shout)))
    return _place(n_samples, shouts)


def _render_dog_bark(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render short barks whose pitch drops, half voice and half breath, with silence between them."""
    pitch_hz, breathiness = source.uniform(220, 750), source.uniform(0.3, 1.0)
    length_s, gap_s = source.uniform(0.1, 0.28), source.uniform(0.15, 0.7)
    throat_hz = pitch_hz * source.uniform([1.5, 3.0], [2.5, 5.0])
    durations_s = length_s * events.uniform(0.8, 1.2, 20)
    barks = []
    for start_s, duration_s in _plan_bursts(
        events, n_samples, durations_s, low_gap_s=gap_s, high_gap_s=1.7 * gap_s
    ):
        n_bark = seconds_to_samples(duration_s)
        drop = 2 ** (np.linspace(0.35, -0.5, n_bark) * events.uniform(0.7, 1.3))
        voice = _sum_harmonics(events, pitch_hz * drop, np.arange(1, 21) ** -0.6)
        breath = breathiness * _band_noise(events, n_bark, low_hz=pitch_hz, high_hz=5 * pitch_hz)
        bark = _resonate(voice + breath, throat_hz, widths_hz=throat_hz / 2, gains=np.array([1.0, 0.6]))
        envelope = _fade(n_bark, attack_s=0.012, release_s=0.6 * duration_s)
        barks.append((start_s, events.uniform(0.6, 1.0) * bark * envelope))
    return _place(n_samples, barks)


def _render_drilling(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render a gear whine and grinding noise of 1-6 kHz; under load the whine sinks and the noise grows."""
    load = 0.5 + 0.25 * _wander(events, n_samples, rate_hz=source.uniform(1.0, 4.0))
    whine_hz = source.uniform(1000, 2400) * (1 - source.uniform(0.05, 0.2) * load)
    whine = _sum_harmonics(events, whine_hz, source.uniform(0.2, 1.0, 5) / np.arange(1, 6))
    low_hz, high_hz = source.uniform(1000, 1800), source.uniform(3500, 6000)
    grind = _band_noise(events, n_samples, low_hz=low_hz, high_hz=high_hz)
    turn = 1 + source.uniform(0.1, 0.5) * np.sin(2 * np.pi * np.cumsum(whine_hz / 30) / SAMPLE_RATE_HZ)
    levels = np.stack([1.3 - load, source.uniform(0.5, 1.5) * (0.4 + load)]) * turn
    mix: Signal = levels[0] * normalise(whine) + levels[1] * grind
    return mix


def _render_engine_idling(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render uneven firing at 20-40 Hz through exhaust resonances below 500 Hz, with a little valve noise."""
    rate_hz, strengths = source.uniform(20, 40), source.uniform(0.5, 1.0, 4)
    pulses = _pulse_train(events, n_samples, rate_hz=rate_hz, strengths=strengths)
    centres_hz = source.uniform([50, 120, 260], [110, 240, 450])
    # A combustion lasts some milliseconds: unsmoothed, the skirts of the resonances reach far above 1 kHz.
    thumps = _resonate(pulses, np.array([100.0]), widths_hz=np.array([250.0]), gains=np.array([1.0]))
    body = _resonate(thumps, centres_hz, widths_hz=centres_hz / 3, gains=source.uniform(0.4, 1.0, 3))
    valve_hz, widths_hz = source.uniform([1200], [2200]), np.array([400.0])
    valves = _resonate(pulses, valve_hz, widths_hz=widths_hz, gains=np.array([1.0]))
    exhaust = _band_noise(events, n_samples, low_hz=60, high_hz=source.uniform(150, 400))
    levels = source.uniform([0.02, 0.1], [0.12, 0.4])
    mix: Signal = normalise(body) + levels[0] * normalise(valves) + levels[1] * exhaust
    return mix * (1 + 0.06 * _wander(events, n_samples, rate_hz=1.5))


def _render_gun_shot(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render a broadband blast of tens of milliseconds, its low tail and echoes; seldom a second shot."""
    blast_s, tail_s = source.uniform(0.006, 0.025), source.uniform(0.08, 0.3)
    blast_high_hz, tail_high_hz = source.uniform(2500, 8000), source.uniform(200, 700)
    echo_delays_s, echo_gains = source.uniform(0.08, 0.6, 3), source.uniform(0.03, 0.2, 3)
    blast = _band_noise(events, n_samples, low_hz=80, high_hz=blast_high_hz)
    rumble = _band_noise(events, n_samples, low_hz=40, high_hz=tail_high_hz)
    tail = source.uniform(0.1, 0.35) * rumble * _decay(n_samples, time_constant_s=tail_s)
    shot = blast * _decay(n_samples, time_constant_s=blast_s) + tail
    dull = rumble * _decay(n_samples, time_constant_s=2 * blast_s)
    echoes = _place(n_samples, zip(echo_delays_s, (gain * dull for gain in echo_gains), strict=True))
    first_s, n_shots = events.uniform(0.01, 0.08), 2 if events.random() < 0.25 else 1
    starts_s = first_s + np.arange(n_shots) * events.uniform(0.3, 1.2)
    return _place(n_samples, ((start_s, shot + echoes) for start_s in starts_s))


def _render_jackhammer(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render impacts at 15-25 Hz: each a burst of grit, a chisel that rings at 1-4 kHz and a dull thud."""
    pulses = _pulse_train(events, n_samples, rate_hz=source.uniform(15.5, 24.5), strengths=np.ones(1))
    chisel_hz, gains = source.uniform(1000, 4000, 4), source.uniform(0.3, 1.0, 4)
    ring = _resonate(pulses, chisel_hz, widths_hz=source.uniform(30, 120, 4), gains=gains)
    thud = _resonate(pulses, source.uniform([70], [200]), widths_hz=np.array([60.0]), gains=np.array([1.0]))
    decay = _decay(n_samples, time_constant_s=source.uniform(0.004, 0.012))
    envelope = np.fft.irfft(np.fft.rfft(pulses) * np.fft.rfft(decay), n_samples)
    grit = envelope * _band_noise(events, n_samples, low_hz=300, high_hz=source.uniform(3000, 7000))
    levels = source.uniform([0.4, 0.3, 0.5], [1.0, 0.8, 1.2])
    mix: Signal = levels[0] * normalise(ring) + levels[1] * normalise(thud) + levels[2] * normalise(grit)
    return mix


def _render_siren(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render a wail (a sweep in seconds) or a yelp (several a second) in 500-1600 Hz, with harmonics."""
    low_hz, high_hz = source.uniform(500, 750), source.uniform(1050, 1600)
    period_s = source.uniform(2.5, 4.5) if source.random() < 0.5 else source.uniform(0.22, 0.6)
    cycle = np.arange(n_samples) / SAMPLE_RATE_HZ / period_s + events.random()
    triangle = np.abs(2 * (cycle % 1) - 1)
    sweep = triangle if source.random() < 0.5 else 0.5 + 0.5 * np.cos(2 * np.pi * cycle)
    amplitudes = np.arange(1, 7) ** -source.uniform(1.0, 2.0)
    tone = _sum_harmonics(events, low_hz * (high_hz / low_hz) ** sweep, amplitudes)
    return tone * (1 + 0.15 * _wander(events, n_samples, rate_hz=1.0))


def _render_street_music(source: Rng, events: Rng, n_samples: int) -> Signal:
    """Render plucked chords and melody notes in a pentatonic scale, on a beat kept by a drum and a shaker."""
    beat_s, root_hz = 60 / source.uniform(80, 140), 110 * 2 ** source.uniform(0, 1)
    timbre, ring_s = np.arange(1, 9) ** -source.uniform(0.8, 2.0), source.uniform(0.15, 0.5)
    scale = source.choice(np.array([[0, 2, 4, 7, 9], [0, 3, 5, 7, 10]]))
    drum_level, shaker_level = source.uniform(0.3, 1.5), source.uniform(0.05, 0.4)
    n_note, n_stroke = seconds_to_samples(1.2), seconds_to_samples(0.3)
    pluck = _decay(n_note, time_constant_s=ring_s) * _fade(n_note, attack_s=0.005, release_s=0.1)
    thump = _decay(n_stroke, time_constant_s=0.08) * _band_noise(events, n_stroke, low_hz=50, high_hz=120)
    tick = _decay(n_stroke, time_constant_s=0.02) * _band_noise(events, n_stroke, low_hz=5000, high_hz=9000)
    sounds = []
    half_beats_s = np.arange(events.random() * beat_s / 2, n_samples / SAMPLE_RATE_HZ, beat_s / 2)
    for half_beat, start_s in enumerate(half_beats_s, start=events.integers(8)):
        notes = events.choice(scale, 3 if half_beat % 8 == 0 else events.integers(0, 3), replace=False)
        for pitch_hz in root_hz * 2 ** (notes / 12 + events.integers(0, 3)):
            sounds.append((start_s, pluck * _sum_harmonics(events, np.full(n_note, pitch_hz), timbre)))
        sounds.append((start_s, shaker_level * tick + drum_level * thump * (half_beat % 2 == 0)))
    return _place(n_samples, sounds)


RENDERERS: dict[str, Renderer] = {
    "air_conditioner": _render_air_conditioner,
    "car_horn": _render_car_horn,
    "children_playing": _render_children_playing,
    "dog_bark": _render_dog_bark,
    "drilling": _render_drilling,
    "engine_idling": _render_engine_idling,
    "gun_shot": _render_gun_shot,
    "jackhammer": _render_jackhammer,
    "siren": _render_siren,
    "street_music": _render_street_music,
}
"""Every class by its UrbanSound8K name, in the order of its classID."""
