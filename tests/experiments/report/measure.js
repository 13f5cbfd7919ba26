// Tells the page around this one how wide it is, what leaves the window, and which texts have a contrast below 4.5
// (WCAG 2, success criterion 1.4.3).
addEventListener('load', () => {
  const [width, scheme] = location.hash.slice(1).split('-')
  const channels = text => (text.match(/[\d.]+/g) || []).map(Number)
  const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor)
      if (colour.length === 3 || colour[3] === 1) return colour
    }
    return scheme === 'dark' ? [0, 0, 0] : [255, 255, 255]
  }
  const hidden = element => {
    const head = element.closest('thead') // hidden where a table is shown as cards
    return element.closest('script, style') || (head && getComputedStyle(head).position === 'absolute')
  }
  const outside = [], faint = []
  let texts = 0
  for (const element of document.body.querySelectorAll('*')) {
    if (hidden(element)) continue
    const style = getComputedStyle(element), box = element.getBoundingClientRect()
    const name = element.tagName + ' ' + (element.textContent || element.alt || '').trim().slice(0, 40)
    const clipped = style.overflowX !== 'visible' && element.scrollWidth > element.clientWidth + 1
    if (box.width && (box.right > innerWidth + 1 || box.left < -1 || clipped)) outside.push(name)
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue
    texts += 1
    const [a, b] = [luminance(channels(style.color)), luminance(behind(element))]
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    if (contrast < 4.5) faint.push(name + ' ' + contrast.toFixed(2))
  }
  parent.postMessage(JSON.stringify({
    width: +width, scheme, dark: matchMedia('(prefers-color-scheme: dark)').matches,
    page: document.documentElement.scrollWidth, outside, faint, texts,
  }), '*')
})
