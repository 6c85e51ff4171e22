"""Writes the events of Nexmark as NDJSON: `person.ndjson`, `auction.ndjson` and `bid.ndjson`.

    python3 examples/nexmark/generate.py FOLDER [--events 20000] [--rate 100] [--seed 1] [--shuffle 1]

People open auctions, and people bid on them. Of 50 events one is a new person, three are new auctions
and 46 are bids. Half of the bids go to the auction that is hot at the moment, three in four come from
the bidder who is, and three in four auctions from the seller who is; the others are spread over the
newest hundred auctions and the newest thousand people, and a few name one that is still to come. A
price is anything from 1 to a million, small ones as often as great ones. Event time begins at
2026-01-05 00:00 UTC and goes by the number of the event: `--rate` events are one second.

The same options write the same bytes, with any Python from 3.8 on. `--shuffle N` has each N events
that follow each other arrive in another order, so that event time goes back and forth; the events are
the same.
"""

import argparse
import math
import pathlib
import random

# Of each 50 events.
PERSONS, AUCTIONS, EVENTS = 1, 3, 50

# Ids count from here, so that they do not look like numbers of events.
FIRST_ID, FIRST_CATEGORY, CATEGORIES = 1000, 10, 5

# Who is hot changes after so many ids.
HOT_IDS = 100
# Bids on the hot auction, auctions of the hot seller, bids of the hot bidder.
HOT_AUCTION, HOT_SELLER, HOT_BIDDER, HOT_CHANNEL = 1 / 2, 3 / 4, 3 / 4, 1 / 2

# Among whom the others choose: the newest people, the newest auctions, and so many still to come.
ACTIVE_PEOPLE, OPEN_AUCTIONS, AHEAD = 1000, 100, 10

# How many bytes a record has about, numbers counted as eight.
PERSON_BYTES, AUCTION_BYTES, BID_BYTES = 200, 500, 100

FIRST_NAMES = "Peter Paul Luke John Saul Vicky Kate Julie Sarah Deiter Walter".split()
LAST_NAMES = "Shultz Abrams Spencer White Bartels Walton Smith Jones Noris".split()
STATES = "AZ CA ID OR WA WY".split()
CITIES = "Phoenix,Los Angeles,San Francisco,Boise,Portland,Bend,Redmond,Seattle,Kent,Cheyenne".split(",")
HOT_CHANNELS = "Google Facebook Baidu Apple".split()
CHANNELS = 10_000

START = "2026-01-05T"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Events:
    """Makes one event after the other."""

    def __init__(self, rate, seed):
        self.rate = rate
        source = random.Random(seed)
        # Only this is promised to give the same numbers with every version of Python.
        self.random = source.random
        self.letters = "".join(LETTERS[self.below(26)] for _ in range(1 << 16))
        self.urls = [self.new_url() for _ in range(CHANNELS)]
        self.hot_urls = [self.new_url() for _ in HOT_CHANNELS]

    def below(self, count):
        """Returns a number from 0 below `count`."""
        return int(self.random() * count)

    def text(self, shortest, longest):
        """Returns letters."""
        length = shortest + self.below(longest - shortest + 1)
        first = self.below(len(self.letters) - length)
        return self.letters[first : first + length]

    def filling(self, size, wanted):
        """Returns what brings a record of `size` bytes to `wanted`, more or less."""
        missing = max(wanted - size, 0)
        return self.text(math.floor(missing * 0.8), math.ceil(missing * 1.2))

    def new_url(self):
        """Returns an address with three folders."""
        folders = "/".join(self.text(3, 5) for _ in range(3))
        return f"https://www.nexmark.com/{folders}/item.htm?query=1"

    def time(self, number):
        """Returns the time of an event."""
        seconds, rest = divmod(number, self.rate)
        return f"{START}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest * 1000 // self.rate:03}Z"

    def price(self):
        """Returns a price in cents."""
        return round(math.pow(10, self.random() * 6) * 100)

    def someone(self, people):
        """Returns the id of one of the active people, given how many there are."""
        active = min(people, ACTIVE_PEOPLE)
        return FIRST_ID + people - active + self.below(active + AHEAD)

    def person(self, number):
        """Returns the person that the event is."""
        name = f"{FIRST_NAMES[self.below(11)]} {LAST_NAMES[self.below(9)]}"
        email = f"{self.text(7, 7)}@{self.text(5, 5)}.com"
        card = " ".join(f"{self.below(10_000):04}" for _ in range(4))
        city, state = CITIES[self.below(10)], STATES[self.below(6)]
        size = 16 + len(name) + len(email) + len(card) + len(city) + len(state)
        return (
            f'{{"id":{FIRST_ID + number // EVENTS},"name":"{name}","email_address":"{email}","credit_card":"{card}"'
            f',"city":"{city}","state":"{state}","date_time":"{self.time(number)}"'
            f',"extra":"{self.filling(size, PERSON_BYTES)}"}}\n'
        )

    def auction(self, number):
        """Returns the auction that the event is."""
        group, place = divmod(number, EVENTS)
        people = group + 1
        hot = FIRST_ID + group // HOT_IDS * HOT_IDS
        seller = hot if self.random() < HOT_SELLER else self.someone(people)
        # On average it ends when so many others have begun as are open at a time.
        longest = max(2 * (OPEN_AUCTIONS * EVENTS // AUCTIONS), 1)
        expires = number + 1 + self.below(longest)
        category = FIRST_CATEGORY + self.below(CATEGORIES)
        first, item, description = self.price(), self.text(5, 20), self.text(20, 100)
        size = 56 + len(item) + len(description)
        return (
            f'{{"id":{FIRST_ID + group * AUCTIONS + place - PERSONS},"item_name":"{item}","description":"{description}"'
            f',"initial_bid":{first},"reserve":{first + self.price()},"date_time":"{self.time(number)}"'
            f',"expires":"{self.time(expires)}","seller":{seller},"category":{category}'
            f',"extra":"{self.filling(size, AUCTION_BYTES)}"}}\n'
        )

    def bid(self, number):
        """Returns the bid that the event is."""
        group = number // EVENTS
        newest = group * AUCTIONS + AUCTIONS - 1
        if self.random() < HOT_AUCTION:
            auction = newest // HOT_IDS * HOT_IDS
        else:
            oldest = max(newest - OPEN_AUCTIONS, 0)
            auction = oldest + self.below(newest - oldest + 1 + AHEAD)
        if self.random() < HOT_BIDDER:
            bidder = FIRST_ID + group // HOT_IDS * HOT_IDS + 1
        else:
            bidder = self.someone(group + 1)
        if self.random() < HOT_CHANNEL:
            which = self.below(len(HOT_CHANNELS))
            channel, url = HOT_CHANNELS[which], self.hot_urls[which]
        else:
            which = self.below(CHANNELS)
            channel, url = f"channel-{which}", self.urls[which]
            # Nine in ten addresses say by which channel they were found.
            url = url if which % 10 == 0 else f"{url}&channel_id={which}"
        return (
            f'{{"auction":{FIRST_ID + auction},"bidder":{bidder},"price":{self.price()},"channel":"{channel}"'
            f',"url":"{url}","date_time":"{self.time(number)}","extra":"{self.filling(32, BID_BYTES)}"}}\n'
        )

    def event(self, number):
        """Returns which stream the event belongs to, and its record."""
        place = number % EVENTS
        if place < PERSONS:
            return "person", self.person(number)
        if place < PERSONS + AUCTIONS:
            return "auction", self.auction(number)
        return "bid", self.bid(number)


def mixed(records):
    """Returns the records in another order, each once."""
    count = len(records)
    # Any step without a common factor visits all.
    step = next(it for it in range(max(count * 2 // 3, 1), 2 * count + 2) if math.gcd(it, count) == 1)
    return [records[index * step % count] for index in range(count)]


def write(folder, events, rate, seed, shuffle):
    """Writes the files, a group of events at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    maker = Events(rate, seed)
    files = {it: open(folder / f"{it}.ndjson", "w", encoding="ascii") for it in ("person", "auction", "bid")}
    for first in range(0, events, shuffle):
        records = [maker.event(number) for number in range(first, min(first + shuffle, events))]
        for stream, record in mixed(records):
            files[stream].write(record)
    for file in files.values():
        file.close()


def main():
    """See the module."""
    parser = argparse.ArgumentParser(description="Writes the events of Nexmark as NDJSON.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--events", type=int, default=20_000, help="how many in all")
    parser.add_argument("--rate", type=int, default=100, help="how many are one second of event time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shuffle", type=int, default=1, help="events among which the order is mixed")
    given = parser.parse_args()
    if not 0 < given.events < 80_000 * given.rate:
        parser.error("events are all of one day: fewer of them, or a higher --rate")
    write(given.folder, given.events, given.rate, given.seed, given.shuffle)


if __name__ == "__main__":
    main()
