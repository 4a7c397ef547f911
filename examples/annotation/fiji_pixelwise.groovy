// Fiji: find the objects or classes of the active image with a running `pixelwise serve`, as a label image.
// Open this file in Fiji (File > Open...) and press Run. The server prints its token when it starts.

#@ String (label = "Address of the server", value = "http://127.0.0.1:8117") address
#@ String (label = "Token", style = "password", persist = false) token
#@ String (label = "Model (empty: the first one)", value = "", required = false) model
#@ ImagePlus image
#@output ImagePlus labels

import groovy.json.JsonSlurper
import ij.IJ
import ij.ImagePlus
import ij.io.FileSaver
import ij.process.FloatProcessor
import javax.imageio.ImageIO

// The shown plane as TIFF: all bits and the pixel size are kept.
byte[] encode(ImagePlus shown) {
    def plane = new ImagePlus("plane", shown.getProcessor().duplicate())
    plane.setCalibration(shown.getCalibration())
    def file = File.createTempFile("pixelwise", ".tif")
    try {
        new FileSaver(plane).saveAsTiff(file.path)
        return file.bytes
    } finally {
        file.delete()
    }
}

// Send an image; the answer is a PNG whose pixels hold the numbers of the objects, or of the classes.
HttpURLConnection ask(String address, String token, String model, byte[] content) {
    def query = model ? "&model=" + URLEncoder.encode(model, "UTF-8") : ""
    def connection = (HttpURLConnection) new URL("${address}/predict?format=png${query}").openConnection()
    connection.setRequestMethod("POST")
    connection.setRequestProperty("Authorization", "Bearer " + token)
    connection.setRequestProperty("Content-Type", "image/tiff")
    connection.setConnectTimeout(10_000)
    connection.setReadTimeout(300_000)
    connection.setDoOutput(true)
    connection.setFixedLengthStreamingMode(content.length)
    connection.getOutputStream().withStream { it.write(content) }
    return connection
}

def connection = ask(address.replaceAll('/+$', ""), token, model, encode(image))
if (connection.getResponseCode() == 200) {
    def picture = connection.getInputStream().withStream { ImageIO.read(it).getRaster() }
    def numbers = new FloatProcessor(picture.getWidth(), picture.getHeight(),
        picture.getSamples(0, 0, picture.getWidth(), picture.getHeight(), 0, (float[]) null))
    // 16 bits without scaling: the server answers with at most 65,535 objects in a PNG
    labels = new ImagePlus("labels of " + image.getTitle(), numbers.convertToShort(false))
    labels.setCalibration(image.getCalibration().copy())
    labels.setDisplayRange(0, Math.max(1, numbers.getMax()))
} else {
    def answer = connection.getErrorStream()?.getText("UTF-8")
    IJ.error("pixelwise", answer ? new JsonSlurper().parseText(answer).message : "The server answered " + connection.getResponseCode())
}
