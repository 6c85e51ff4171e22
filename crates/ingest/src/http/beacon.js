// Sends what happens on a page to a stream:
// <script src="https://HOST/v1/beacon.js" data-stream="clicks" data-key="…" async></script>
// mainstem("add_to_basket", { product: "p1" }) sends one more event; a view of the page is sent by itself.
(function () {
  var script = document.currentScript, said = script.dataset, waiting = [], timer;
  var url = new URL("/v1/streams/" + encodeURIComponent(said.stream) + "/beacon", script.src);
  if (said.key) url.searchParams.set("key", said.key);
  var session = Math.random().toString(36).slice(2);
  // A browser holds 64 KiB that are on their way, of all pages of a site together.
  var bytesMax = 30000, eventsMax = 1000;
  function later() {
    timer = timer || setTimeout(send, 1000);
  }
  function send() {
    clearTimeout(timer);
    timer = undefined;
    while (waiting.length) {
      for (var count = 1, bytes = waiting[0].length; count < waiting.length && count < 50; count++) {
        bytes += 1 + waiting[count].length;
        if (bytesMax < bytes) break;
      }
      // What finds no room now is sent with what comes next.
      if (!navigator.sendBeacon(url, waiting.slice(0, count).join("\n"))) return later();
      waiting.splice(0, count);
    }
  }
  function note(event, more) {
    var about = { event: event, at: new Date().toISOString(), page: location.pathname, session: session };
    var text = JSON.stringify(Object.assign(about, more));
    if (bytesMax < text.length) return;
    if (eventsMax <= waiting.length) waiting.shift();
    waiting.push(text);
    if (waiting.length === 20) send();
    else later();
  }
  window.mainstem = note;
  addEventListener("visibilitychange", function () {
    if (document.visibilityState === "hidden") send();
  });
  addEventListener("pagehide", send);
  note("view", { referrer: document.referrer });
})();
