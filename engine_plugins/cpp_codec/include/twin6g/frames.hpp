// Coordinates: the wire speaks ENU metres; engines have axes, handedness and units of their own.
//
// The formulas are those of twin/geo.py and are held to proto/golden/coordinates.json by the same test.
#pragma once

#include <cmath>

namespace twin6g {

/// Axes of an engine. Unity and Unreal are left-handed, the others right-handed.
enum class Axes {
  Enu,     ///< East, north, up; metres.
  Unity,   ///< (E, U, N) metres.
  Unreal,  ///< 100 (E, -N, U) centimetres.
  Gltf,    ///< glTF, three.js and Godot: (E, U, -N) metres.
};

/// A point or direction.
struct Vector {
  double x = 0.0;
  double y = 0.0;
  double z = 0.0;
};

/// A rotation as a quaternion x, y, z, w.
struct Rotation {
  double x = 0.0;
  double y = 0.0;
  double z = 0.0;
  double w = 1.0;

  /// Returns the direction turned by this rotation.
  Vector turn(const Vector& v) const {
    const double tx = 2.0 * (y * v.z - z * v.y);
    const double ty = 2.0 * (z * v.x - x * v.z);
    const double tz = 2.0 * (x * v.y - y * v.x);
    return {v.x + w * tx + y * tz - z * ty, v.y + w * ty + z * tx - x * tz, v.z + w * tz + x * ty - y * tx};
  }
};

/// Returns a point in ENU metres in an engine's axes and unit.
inline Vector to_engine(const Vector& enu, Axes axes) {
  switch (axes) {
    case Axes::Unity: return {enu.x, enu.z, enu.y};
    case Axes::Unreal: return {100.0 * enu.x, -100.0 * enu.y, 100.0 * enu.z};
    case Axes::Gltf: return {enu.x, enu.z, -enu.y};
    case Axes::Enu: break;
  }
  return enu;
}

/// Returns a point in an engine's axes and unit in ENU metres.
inline Vector to_enu(const Vector& engine, Axes axes) {
  switch (axes) {
    case Axes::Unity: return {engine.x, engine.z, engine.y};
    case Axes::Unreal: return {engine.x / 100.0, -engine.y / 100.0, engine.z / 100.0};
    case Axes::Gltf: return {engine.x, -engine.z, engine.y};
    case Axes::Enu: break;
  }
  return engine;
}

/// Returns a rotation of the ENU frame in an engine's axes: v' = det(P) P v, w' = w.
inline Rotation to_engine(const Rotation& enu, Axes axes) {
  switch (axes) {
    case Axes::Unity: return {-enu.x, -enu.z, -enu.y, enu.w};
    case Axes::Unreal: return {-enu.x, enu.y, -enu.z, enu.w};
    case Axes::Gltf: return {enu.x, enu.z, -enu.y, enu.w};
    case Axes::Enu: break;
  }
  return enu;
}

/// Returns a rotation in an engine's axes in the ENU frame.
inline Rotation to_enu(const Rotation& engine, Axes axes) {
  switch (axes) {
    case Axes::Unity: return {-engine.x, -engine.z, -engine.y, engine.w};
    case Axes::Unreal: return {-engine.x, engine.y, -engine.z, engine.w};
    case Axes::Gltf: return {engine.x, -engine.z, engine.y, engine.w};
    case Axes::Enu: break;
  }
  return engine;
}

/// Returns the yaw (counter-clockwise from east, -180 to 180) of an azimuth (clockwise from north).
inline double azimuth_to_yaw_deg(double azimuth_deg) {
  const double turned = 270.0 - azimuth_deg;
  return turned - 360.0 * std::floor(turned / 360.0) - 180.0;
}

/// Returns the azimuth (0 to 360) of a yaw.
inline double yaw_to_azimuth_deg(double yaw_deg) {
  const double turned = 90.0 - yaw_deg;
  return turned - 360.0 * std::floor(turned / 360.0);
}

/// Returns the ENU rotation of something that looks along its own +x towards an azimuth, tilted down by
/// `downtilt_deg` (positive = down).
inline Rotation view(double azimuth_deg, double downtilt_deg) {
  constexpr double kHalfRad = 3.14159265358979323846 / 360.0;
  const double yaw = azimuth_to_yaw_deg(azimuth_deg) * kHalfRad;
  const double down = downtilt_deg * kHalfRad;
  return {-std::sin(yaw) * std::sin(down), std::cos(yaw) * std::sin(down), std::sin(yaw) * std::cos(down),
          std::cos(yaw) * std::cos(down)};
}

}  // namespace twin6g
