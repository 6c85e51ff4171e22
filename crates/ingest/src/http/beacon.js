// Sends what happens on a page to a stream:
// <script src="https://HOST/v1/beacon.js" data-stream="clicks" data-key="…" async></script>
// mainstem("add_to_basket", { product: "p1" }) sends one more event; a view of the page is sent by itself.
(function () {
  var script = document.currentScript, said = script.dataset, waiting = [], timer;
  var url = new URL("/v1/streams/" + encodeURIComponent(said.stream) + "/beacon", script.src);
  if (said.key) url.searchParams.set("key", said.key);
  var session = Math.random().toString(36).slice(2);
  function send() {
    clearTimeout(timer);
    timer = undefined;
    while (waiting.length) navigator.sendBeacon(url, waiting.splice(0, 50).join("\n"));
  }
  window.mainstem = function (event, more) {
    var about = { event: event, at: new Date().toISOString(), page: location.pathname, session: session };
    waiting.push(JSON.stringify(Object.assign(about, more)));
    if (20 <= waiting.length) send();
    else timer = timer || setTimeout(send, 1000);
  };
  addEventListener("visibilitychange", function () {
    if (document.visibilityState === "hidden") send();
  });
  addEventListener("pagehide", send);
  mainstem("view", { referrer: document.referrer });
})();
