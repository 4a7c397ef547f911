// QuPath: find objects in the selected annotation, or in the whole image, with a running `pixelwise serve`.
// Automate > Script editor; set the three values below; Run. The server prints its token when it starts.

import groovy.json.JsonSlurper
import java.awt.geom.AffineTransform
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObjectTools
import qupath.lib.objects.PathObjects
import qupath.lib.regions.RegionRequest

def address = "http://127.0.0.1:8117"
def token = "paste the token of the server"
def downsample = 1.0 // 2.0 if the model was trained on images of half the resolution
def model = "" // empty: the first one

// The outlines as GeoJSON, in pixels of the image that was sent.
HttpURLConnection ask(String address, String token, String model, byte[] content) {
    def query = model ? "&model=" + URLEncoder.encode(model, "UTF-8") : ""
    def connection = (HttpURLConnection) new URL("${address}/predict?format=geojson${query}").openConnection()
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

def server = getCurrentServer()
def parent = getSelectedObject()
def region = parent?.hasROI()
    ? RegionRequest.createInstance(server.getPath(), downsample, parent.getROI())
    : RegionRequest.createInstance(server, downsample)

def file = File.createTempFile("pixelwise", ".tif")
byte[] content
try {
    writeImageRegion(server, region, file.path)
    content = file.bytes
} finally {
    file.delete()
}

def connection = ask(address.replaceAll('/+$', ""), token, model, content)
if (connection.getResponseCode() != 200) {
    def answer = connection.getErrorStream()?.getText("UTF-8")
    throw new IOException(answer ? new JsonSlurper().parseText(answer).message.toString() : "The server answered " + connection.getResponseCode())
}
def place = new AffineTransform(downsample, 0, 0, downsample, region.getX(), region.getY())
def found = connection.getInputStream().withStream { PathIO.readObjectsFromGeoJSON(it) }
    .collect { PathObjectTools.transformObject(it, place, true) }
    .findAll { !parent?.hasROI() || parent.getROI().contains(it.getROI().getCentroidX(), it.getROI().getCentroidY()) }
    .collect { PathObjects.createDetectionObject(it.getROI(), it.getPathClass()) }
if (parent?.hasROI()) {
    parent.addChildObjects(found)
} else {
    addObjects(found)
}
fireHierarchyUpdate()
println "${found.size()} objects"
