"""What clients would notice: shares of the recent past, in numbers that were worked out by hand."""

from dataclasses import replace

import pytest

from handlers.contract.modes import ServingMode
from turnout.switching.clients import Notice, Recent, dollars, notice, percent
from turnout.switching.transitions import pairs

B, P, H = ServingMode.BATCH, ServingMode.PRECOMPUTE, ServingMode.HYBRID
R, S, A = ServingMode.REALTIME, ServingMode.SERVERLESS, ServingMode.ASYNC
WEEK = Recent(requests=1000, hits=973, misses=27)
SAMPLED = Recent(requests=1000, keyless=0, sampled=200, sampled_known=150, generation="g7")


def told(before, after, recent=WEEK, **more) -> Notice:
    return notice(before, after, fallback=more.pop("fallback", "serverless"), recent=recent, **more)


def test_misses_that_hybrid_would_serve():
    said = told(P, H, live_usd=3.1)
    assert said.sentence == (
        "97.3 % of the last 7 days' 1,000 requests had a key in the newest generation and would get what they get "
        "now; 2.7 % had another key and would get a live prediction (given features) instead of 404 unknown_key. "
        "Serving those costs $3.10 a month."
    )
    assert (said.changed, said.lost) == (pytest.approx(0.027), 0)
    assert said.basis == "973 hits and 27 misses that the front door counted"


def test_live_answers_that_precompute_would_not_give():
    said = told(R, P, SAMPLED, live_usd=3.1)
    assert said.lost == pytest.approx(0.25)
    assert said.changed == 1
    assert "25.0 % had another key and would get 404 unknown_key instead of a live prediction" in said.sentence
    assert "`hybrid` would serve those for $3.10 a month" in said.sentence
    assert said.basis == "a sample of 200 logged keys against generation g7"


def test_full_coverage_loses_nothing():
    said = told(R, P, Recent(requests=1000, keyless=0, sampled=50, sampled_known=50, generation="g7"))
    assert said.lost == 0
    assert "404" not in said.sentence


def test_everything_is_lost_to_batch():
    assert told(R, B).lost == 1
    assert told(R, B).sentence == (
        "All of the last 7 days' 1,000 requests would get 409 with the place of the results instead of a live "
        "prediction (given features)."
    )
    assert told(P, B).lost == pytest.approx(0.973), "who got 404 loses nothing"


def test_another_endpoint_gives_the_same_answers():
    assert told(R, S) == Notice(
        "All of the last 7 days' 1,000 requests would get what they get now.", told(R, S).basis, 0, 0
    )
    assert "get 202 and the prediction later" in told(R, A).sentence


def test_hybrid_answers_misses_as_its_fallback_does():
    assert "2.7 % had another key and would get 202" in told(P, H, fallback="async").sentence
    assert told(A, H, SAMPLED, fallback="async").changed == pytest.approx(0.75)


@pytest.mark.parametrize(("before", "after"), pairs())
def test_no_requests_are_said_and_lose_nothing(before, after):
    said = told(before, after, Recent())
    assert said.sentence == "No requests in the last 7 days: nobody would notice."
    assert (said.changed, said.lost) == (0, 0)


@pytest.mark.parametrize(("before", "after"), pairs())
def test_what_nobody_could_look_up_is_not_made_up(before, after):
    said = told(before, after, None)
    assert "not known" in said.sentence
    assert (said.lost is None) is (after is B or (after is P and before in (H, R, S, A)))


#: Nine of ten requests carry no key; every key that was logged has a score.
MOSTLY_KEYLESS = Recent(requests=1000, keyless=900, sampled=40, sampled_known=40, generation="g7")


def test_requests_without_a_key_lose_their_answers_to_lookups():
    said = told(R, P, MOSTLY_KEYLESS, live_usd=3.1)
    assert said.lost == pytest.approx(0.9)
    assert said.sentence == (
        "10.0 % of the last 7 days' 1,000 requests had a key in the newest generation and would get the score from the "
        "newest generation instead of a live prediction (given features); 90.0 % had no key and would get 400 bad_key "
        "instead of a live prediction (given features). `hybrid` would serve those for $3.10 a month."
    )
    assert said.basis == "a sample of 40 logged keys against generation g7, and 900 predictions without a key"


def test_what_was_no_lookup_in_hybrid_had_no_key():
    said = told(H, P, Recent(requests=1000, hits=500))
    assert said.lost == pytest.approx(0.5)
    assert "50.0 % had no key and would get 400 bad_key" in said.sentence
    assert said.basis == "500 hits and 0 misses that the front door counted, and 500 predictions without a key"


def test_without_any_key_nothing_has_to_be_known_of_the_generation():
    assert told(R, P, Recent(requests=10, keyless=10)).lost == 1
    assert Recent(requests=10, keyless=10).coverage(R) == 0


def test_several_predictions_a_request_are_not_taken_for_more_than_all():
    many = Recent(requests=10, hits=60, misses=20, keyless=20)
    assert (many.keyless_share(H), many.coverage(H)) == (pytest.approx(0.2), pytest.approx(0.6))


def test_hybrid_answers_requests_without_a_key_as_its_fallback_does():
    said = told(P, H, replace(MOSTLY_KEYLESS, hits=100))
    assert said.lost == 0
    assert "90.0 % had no key and would get a live prediction (given features) instead of 400 bad_key" in said.sentence


def test_another_fallback_gives_other_answers():
    said = told(H, H, fallback="async", old_fallback="serverless")
    assert "2.7 % had another key and would get 202 and the prediction later" in said.sentence
    assert (said.changed, said.lost) == (pytest.approx(0.027), 0)


def test_unknown_coverage_is_said():
    said = told(R, P, Recent(requests=1000))
    assert said.sentence.startswith("Nothing tells how many of the last 7 days' 1,000 requests had a key")
    assert said.lost is None
    assert told(B, P, Recent(requests=1000)).lost == 0
    keyed = Recent(requests=1000, sampled=100, sampled_known=100, generation="g7")
    assert told(R, P, keyed).lost is None, "how many carried no key at all, that front door did not count"


@pytest.mark.parametrize("mode", [R, S, A])
@pytest.mark.parametrize("hits", [600, 1000, 100_000])
def test_lookups_of_an_earlier_mode_tell_nothing_of_live_requests(mode, hits):
    """A request may look many keys up, so not even more hits than requests show that none of these was live."""
    said = told(mode, P, Recent(requests=1000, hits=hits, keyless=0))
    assert said.sentence.startswith("Nothing tells how many of the last 7 days' 1,000 requests had a key")
    assert (said.changed, said.lost) == (None, None)
    assert said.basis == "the front door's count of requests; no logged key was compared with a generation"


def test_live_requests_are_judged_by_their_own_sample_whatever_was_looked_up_before():
    recent = replace(SAMPLED, hits=100_000, keyless=200)
    assert recent.shares(R) == pytest.approx((0.8 * 0.75, 0.8 * 0.25, 0.2))


def test_where_some_requests_were_no_lookups_the_counts_do_not_tell():
    assert Recent(requests=100, hits=90, misses=10, keyless=0).coverage(H) == 0.9
    mixed = Recent(requests=101, hits=90, misses=10, keyless=0)
    assert mixed.coverage(H) is None
    assert replace(mixed, sampled=40, sampled_known=30).coverage(H) == 0.75


@pytest.mark.parametrize(
    ("sampled", "keys"), [(1, "only 1 logged key of mode realtime"), (29, "only 29 logged keys of mode realtime")]
)
def test_a_few_keys_are_too_few_to_tell(sampled, keys):
    said = told(R, P, Recent(requests=1000, keyless=0, sampled=sampled, sampled_known=sampled))
    assert said.sentence.startswith("Nothing tells")
    assert said.basis == f"the front door's count of requests; {keys}, too few to tell"
    enough = Recent(requests=1000, keyless=0, sampled=30, sampled_known=30, generation="g7")
    assert told(R, P, enough).lost == 0


def test_a_month_is_extrapolated_from_the_days():
    assert Recent(days=7, requests=700).a_month == 3040


@pytest.mark.parametrize(
    ("usd", "text"), [(0, "$0.00"), (0.0001, "less than $0.01"), (0.005, "$0.01"), (1234.5, "$1,234.50")]
)
def test_something_is_never_nothing(usd, text):
    assert dollars(usd) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (1.0, "100 %"), (0.9999, "99.9 %"), (0.0001, "0.1 %"), (0.5, "50.0 %")]
)
def test_percentages_never_round_a_part_away(share, text):
    assert percent(share) == text
